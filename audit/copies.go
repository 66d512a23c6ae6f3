package audit

import "time"

// CopyBehind says that entries have not reached the copy that nobody can delete from for too long.
type CopyBehind struct {
	Entries uint64    `json:"entries"` // of the log
	Copied  uint64    `json:"copied"`  // under the newest checkpoint that is in the copy, with all that stands under it
	Since   time.Time `json:"since"`   // when the copy was level for the last time, or the run began
	Why     string    `json:"why"`
}

// CopyLevel says that the copy has caught up.
type CopyLevel struct {
	Copied uint64    `json:"copied"`
	Since  time.Time `json:"since"` // of the entry that said that it was behind
}

// CopyDiffers says that the copy holds something else than the log under one name, or more than it: one of both was changed, or put back.
type CopyDiffers struct {
	Object   string `json:"object"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// CopyRefused says that nothing, or nothing of what must be erasable, is given to the copy, because its place does not do what is asked of it.
type CopyRefused struct {
	What string `json:"what"` // all | erasable
	Why  string `json:"why"`
}

// Restored is the first entry that a log has after it came back from its copy, or the first one of the log that goes on in its place.
type Restored struct {
	Mode       string    `json:"mode"`       // same_log | new_log
	Origin     string    `json:"origin"`     // of the log that came back
	Key        string    `json:"key"`        // its public key, in note verifier form
	Entries    uint64    `json:"entries"`    // that came back, under
	Root       string    `json:"root"`       // this root, and
	Checkpoint string    `json:"checkpoint"` // this checkpoint, signed
	Last       time.Time `json:"last,omitzero"`
	Orderly    bool      `json:"orderly"`           // the last of them is node.stopped
	Missing    uint64    `json:"missing,omitempty"` // entries that are known to have been behind them, and are lost
	Seen       []string  `json:"seen,omitempty"`    // who vouched for how many entries: "witness.bank-2.example/1 1234"
	Keys       bool      `json:"keys"`              // the node's keys came back
	Forgotten  int       `json:"forgotten"`         // references that were in the copy still and were destroyed once more
}

func (CopyBehind) Kind() Kind  { return KindCopyBehind }
func (CopyLevel) Kind() Kind   { return KindCopyLevel }
func (CopyDiffers) Kind() Kind { return KindCopyDiffers }
func (CopyRefused) Kind() Kind { return KindCopyRefused }
func (Restored) Kind() Kind    { return KindRestored }

// decodeCopy is Decode for what is about the copy of the log, and what follows.
func decodeCopy(e Entry) (Event, error) {
	switch e.Kind {
	case KindCopyBehind:
		return decodeAs[CopyBehind](e)
	case KindCopyLevel:
		return decodeAs[CopyLevel](e)
	case KindCopyDiffers:
		return decodeAs[CopyDiffers](e)
	case KindCopyRefused:
		return decodeAs[CopyRefused](e)
	case KindRestored:
		return decodeAs[Restored](e)
	}
	return decodeKeeping(e)
}
