package audit

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
)

// Kind names a type of entry. Kinds are words of the log: never rename one.
type Kind string

// Event is one typed thing that happened. It is marshalled to JSON as the body of an Entry; its time is when the log took it.
type Event interface{ Kind() Kind }

// Entry is one record of the log: the common envelope of evidence records and a typed body. Its Seq is the leaf index of the
// Merkle tree; tree and signed checkpoint stand for the prev_hash and sig of the envelope, so neither is stored per entry.
type Entry struct {
	ID           string          `json:"record_id"` // ULID
	Kind         Kind            `json:"record_type"`
	Tenant       string          `json:"tenant"`
	Node         string          `json:"node_id"`
	Software     string          `json:"software"`
	PolicyDigest string          `json:"policy_digest"`
	FactsDigest  string          `json:"facts_digest"`
	Generation   uint64          `json:"generation"`
	Time         time.Time       `json:"time_utc"` // RFC 3339, nanoseconds, UTC
	Clock        Clock           `json:"clock"`
	Gap          bool            `json:"gap_marker,omitempty"`
	Body         json.RawMessage `json:"body"`
	Seq          uint64          `json:"-"` // the leaf index; known only once the entry is in the tree
}

// Clock says how good the time of an entry is, RTS (EU) 2024/1774 Art. 12(2)(f). What is not known is left out: nil is unknown, zero
// is a measurement.
type Clock struct {
	Source     string    `json:"source"`
	Stratum    int       `json:"stratum,omitempty"`
	OffsetMS   *float64  `json:"offset_ms,omitempty"`
	MaxErrorMS *float64  `json:"max_error_ms,omitempty"` // the bound that the source of the time gives for its error
	LastSync   time.Time `json:"last_sync,omitzero"`
}

// Stamp is what every entry carries of the policy in force. The hall sets it at each swap.
type Stamp struct {
	PolicyDigest, FactsDigest string
	Generation                uint64
}

// Log is the transparency log. Open and Memory give one; both pass the same contract test.
type Log interface {
	// Append makes e durable and gives its index. It may block for some milliseconds. ErrLogDown, wrapped, when it cannot.
	Append(ctx context.Context, e Event) (seq uint64, err error)
	// AppendAsync is Append without somebody who waits: done is called once, before AppendAsync returns or from a goroutine of the log, which
	// it must not hold up. Entries that are in no hurry share what a batch costs.
	AppendAsync(e Event, done func(seq uint64, err error))
	// Commit is Append and then waits until a signed checkpoint covers the entry. Gate decisions and failovers use it.
	Commit(ctx context.Context, e Event) (seq uint64, err error)
	// Entries gives at most max entries from index from on, in order; none when from >= Size.
	Entries(ctx context.Context, from uint64, max int) ([]Entry, error)
	// Size is the number of durable entries. Grown returns a channel that is closed when Size passes n.
	Size() uint64
	Grown(n uint64) <-chan struct{}
	// Checkpoint is the newest signed checkpoint (C2SP tlog-checkpoint).
	Checkpoint(ctx context.Context) ([]byte, error)
	// Inclusion proves entry seq in the tree of size; Consistency proves that the tree of size a is a prefix of that of size b. RFC 9162.
	Inclusion(ctx context.Context, seq, size uint64) ([][]byte, error)
	Consistency(ctx context.Context, a, b uint64) ([][]byte, error)
	// SetStamp sets what the following entries carry.
	SetStamp(Stamp)
	// Health says whether the log can be written, since when, and what is left of the reserve.
	Health() Health
	// VerifierKey is the public key of the checkpoints (note verifier form), the one that signs now.
	VerifierKey() string
	// Keys are the first key of the log and the hand-overs since, as proof.NewKeys takes them: what opens every checkpoint of the log.
	Keys() string
	// RotateKey hands the log over to another key. The entry that says so is durable when it returns, and checkpoints are signed by the new key.
	RotateKey(ctx context.Context, r Rotation) (proof.Handover, error)
	Close(ctx context.Context) error
}

// Health of the log. Asking for it while the log is down sets off an attempt to write again, at most one a second.
type Health struct {
	OK           bool
	Since        time.Time // of the last change
	Why          string    // of the newest failure, while not OK
	ReserveBytes int64     // that are to be preallocated; 0 without a disk
	ReserveUsed  int64     // that had to be given up, or could not be had

	// Uncovered is the age of the oldest entry that stands under no checkpoint, 0 for none; entries of earlier runs count from the opening. From half a
	// minute on the log is not OK.
	Uncovered time.Duration
}

// ErrLogDown wraps every error of an append that could not be made durable.
var ErrLogDown = errors.New("audit: the log cannot be written")
