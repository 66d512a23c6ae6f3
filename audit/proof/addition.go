package proof

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	// MaxAddition is the size of the longest request to a witness that is read, in bytes.
	MaxAddition = MaxCheckpoint + 4<<10

	// maxAdditionHashes is the most hashes that such a request may have, C2SP tlog-witness, add-checkpoint.
	maxAdditionHashes = 63

	// SizeType is the media type of an answer that says which size a witness remembers.
	SizeType = "text/x.tlog.size"
)

// Addition is what a log posts to a witness (C2SP tlog-witness, add-checkpoint): a newer checkpoint, and that it goes on from the old one.
type Addition struct {
	Old        uint64 // size of the checkpoint that the witness signed last, 0 for none
	Hashes     []Hash // RFC 6962 section 2.1.2, from Old to the checkpoint
	Checkpoint []byte // signed
}

// Marshal gives the body of the request.
func (a Addition) Marshal() []byte {
	return append(appendHashes(fmt.Appendf(nil, "old %d\n", a.Old), a.Hashes), a.Checkpoint...)
}

// ParseAddition reads the body of a request. The claim is what its checkpoint says, whoever signed it.
func ParseAddition(raw []byte) (a Addition, claim Checkpoint, err error) {
	if len(raw) > MaxAddition {
		return Addition{}, Checkpoint{}, fmt.Errorf("a request of %d bytes: the most is %d", len(raw), MaxAddition)
	}
	l := &lines{rest: raw}
	if a.Old, err = l.number("old"); err != nil {
		return Addition{}, Checkpoint{}, err
	}
	if a.Hashes, err = l.hashes(); err != nil {
		return Addition{}, Checkpoint{}, err
	}
	if len(a.Hashes) > maxAdditionHashes {
		return Addition{}, Checkpoint{}, fmt.Errorf("%d hashes: the most is %d", len(a.Hashes), maxAdditionHashes)
	}
	a.Checkpoint = l.rest
	if claim, err = claimOf(a.Checkpoint); err != nil {
		return Addition{}, Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return a, claim, nil
}

// claimOf reads a checkpoint that nobody checked.
func claimOf(raw []byte) (Checkpoint, error) {
	if len(raw) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%d bytes: the most is %d", len(raw), MaxCheckpoint)
	}
	_, err := note.Open(raw, note.VerifierList())
	var unknown *note.UnverifiedNoteError
	if !errors.As(err, &unknown) {
		return Checkpoint{}, errors.New("no signed note")
	}
	return ParseText(unknown.Note.Text)
}

// Own gives a checkpoint with the signatures of the log's keys and no other: what strangers add to one does not grow with it. The error says what does not hold.
func (k *Keys) Own(raw []byte) ([]byte, error) {
	n, err := note.Open(raw, note.VerifierList(k.own()...))
	if err != nil {
		return nil, k.refusal(err)
	}
	own, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
	if err != nil {
		return nil, fmt.Errorf("proof: checkpoint: %w", err)
	}
	if _, err := k.Alone().Past().Open(own); err != nil { // what witnesses say of a compromised key is not asked for here
		return nil, err
	}
	return own, nil
}

// ParseSize reads the answer of a witness that remembers another size: a number and a line end.
func ParseSize(raw []byte) (uint64, error) {
	line, ok := strings.CutSuffix(string(raw[:min(len(raw), 32)]), "\n")
	if !ok {
		return 0, errors.New("proof: size of a witness: expected one line")
	}
	n, err := parseNumber(line)
	if err != nil {
		return 0, fmt.Errorf("proof: size of a witness: %w", err)
	}
	return n, nil
}
