package audit

import (
	"context"
	"crypto"
	"time"
)

// Config of a log.
type Config struct {
	Dir        string        // folder of tiles, made with mode 0700; unused by Memory
	Signer     crypto.Signer // Ed25519, signs checkpoints
	Keys       string        // the first key of the log and the hand-overs since (proof.NewKeys), as Log.Keys gave them; empty: Signer's is the only one
	Outgoing   crypto.Signer // the key before Signer's, while it signs as well; nil: it does not
	Origin     string        // checkpoint origin, e.g. "cordon/bank-1/edge-1"
	Tenant     string
	Node       string
	Software   string
	Clock      func() Clock // nil: the system clock, of which nothing is known
	Now        func() time.Time
	Reserve    int64         // bytes preallocated on disk, default 64 MiB
	Checkpoint time.Duration // interval of signed checkpoints, default 100 ms, which is also the least

	// AppendTimeout bounds one append: a disk that hangs is a log that is down. Default 2 s.
	AppendTimeout time.Duration

	// Refuse is asked before each write; an error is a disk that does not take it. A drill in a sandbox plays that. nil: nobody refuses.
	Refuse func() error

	// wrap stands between the log and the driver's append; tests put faults there.
	wrap func(appendFunc) appendFunc
}

const (
	defaultReserve       = 64 << 20
	defaultCheckpoint    = 100 * time.Millisecond
	defaultAppendTimeout = 2 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = func() Clock { return Clock{Source: "system"} }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Reserve <= 0 {
		c.Reserve = defaultReserve
	}
	if c.Checkpoint < defaultCheckpoint {
		c.Checkpoint = defaultCheckpoint
	}
	if c.AppendTimeout <= 0 {
		c.AppendTimeout = defaultAppendTimeout
	}
	return c
}

// Open opens or makes the log in c.Dir. When the last run did not end with NodeStopped, the caller learns it from crashed and appends
// NodeStarted{Crash: true} and a Gap with the open calls of the intent file. A folder that another process (or another Open) holds is
// refused. ctx bounds the opening only.
func Open(ctx context.Context, c Config) (log Log, crashed bool, err error) {
	c = c.withDefaults()
	by, err := newSigning(c)
	if err != nil {
		return nil, false, err
	}
	drv, err := openPosix(c, by)
	if err != nil {
		return nil, false, err
	}
	s, err := newSpine(ctx, c, drv, by)
	if err != nil {
		_ = drv.close(ctx)
		return nil, false, err
	}
	n := s.Size()
	if n == 0 {
		return s, false, nil
	}
	orderly, err := s.ended(ctx, n)
	if err == nil {
		err = s.missing(ctx, drv.missing)
	}
	if err != nil {
		_ = drv.close(ctx)
		return nil, false, err
	}
	return s, !orderly, nil
}

// ended says whether the last run ended with NodeStopped. What was done to the log since, while no node ran, stands behind that.
func (s *spine) ended(ctx context.Context, n uint64) (bool, error) {
	for ; n > 0; n-- {
		last, err := s.Entries(ctx, n-1, 1)
		if err != nil {
			return false, err
		}
		switch ev, err := Decode(last[0]); e := ev.(type) {
		case KeyRotated:
			continue
		case Restored:
			return e.Orderly, nil
		case Gap:
			return e.Cause == CauseRestore, err // it says already what is missing
		default:
			return last[0].Kind == KindNodeStopped, nil
		}
	}
	return false, nil
}

// Memory is the same log without a disk, for tests in virtual time: tree, checkpoints and proofs are real. It starts no goroutine and
// signs a checkpoint whenever somebody asks for one.
func Memory(c Config) (Log, error) {
	c = c.withDefaults()
	by, err := newSigning(c)
	if err != nil {
		return nil, err
	}
	return newSpine(context.Background(), c, newMemory(c.Origin, by), by)
}
