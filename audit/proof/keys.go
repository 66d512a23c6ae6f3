package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// MaxCheckpoint is the size of the longest checkpoint that is read, in bytes.
const MaxCheckpoint = 64 << 10

// Hash is a hash of the tree: SHA-256, RFC 9162 section 2.1.
type Hash [32]byte

func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// Keys are the public keys that a checker trusts, and how many witnesses it asks for.
type Keys struct {
	log       note.Verifier // that was given
	line      []held        // all of the log's, in their order; that one among them
	witnesses []note.Verifier
	quorum    int
	past      bool
}

// NewKeys takes the key of a log and those of witnesses, in note verifier form (NAME+HASH+KEY). A checkpoint holds when the log and at
// least quorum of the witnesses have signed it. Behind the log's key, on lines of their own, may stand the hand-overs of the log's keys (ParseChain).
func NewKeys(log string, witnesses []string, quorum int) (*Keys, error) {
	vkey := FirstKey(log)
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("proof: key of the log: %w", err)
	}
	_, rest, _ := strings.Cut(strings.TrimLeft(log, " \t\r\n"), "\n")
	chain, err := ParseChain(strings.TrimLeft(rest, " \t\r\n"))
	if err != nil {
		return nil, err
	}
	k := &Keys{log: v, quorum: quorum}
	if k.line, err = lineOf(v, vkey, chain); err != nil {
		return nil, err
	}
	_, own, _ := parseKey(vkey)
	seen := [][]byte{own}
	for _, h := range k.Handovers() {
		_, old, _ := parseKey(h.Old)
		_, young, _ := parseKey(h.New)
		seen = append(seen, old, young)
	}
	for _, w := range witnesses {
		cv, err := NewWitnessVerifier(w)
		if err != nil {
			return nil, err
		}
		// One key under two names would count twice, and the log's own key witnesses nothing.
		if slices.ContainsFunc(seen, func(b []byte) bool { return bytes.Equal(b, cv.key) }) {
			return nil, fmt.Errorf("proof: witness %s: its key is that of the log, or of another witness", cv.name)
		}
		seen = append(seen, cv.key)
		k.witnesses = append(k.witnesses, cv)
	}
	if quorum < 0 || quorum > len(k.witnesses) {
		return nil, fmt.Errorf("proof: %d witnesses are asked for and %d are named", quorum, len(k.witnesses))
	}
	return k, nil
}

// Alone are the same keys without the witnesses.
func (k *Keys) Alone() *Keys { return &Keys{log: k.log, line: k.line} }

// Witnessed says whether witnesses must have signed.
func (k *Keys) Witnessed() bool { return k.quorum > 0 }

// Origin is the name of the log.
func (k *Keys) Origin() string { return k.log.Name() }

// Checkpoint is a signed checkpoint (C2SP tlog-checkpoint) whose signatures hold.
type Checkpoint struct {
	Origin    string
	Size      uint64 // entries that it stands for
	Root      Hash
	Signer    string        // name and hash of the log's newest key that signed, as in its signature: NAME+HASH
	Witnesses []Cosignature // those whose keys were given and whose signatures hold
	Others    []string      // signatures that no given key checks: they say nothing
	Text      string        // the three lines that are signed
}

// Cosignature is what one witness says: at that time it had seen no other history.
type Cosignature struct {
	Name string
	Time time.Time // of the witness's clock, in seconds
}

// Open checks a checkpoint. The error says in words what does not hold.
func (k *Keys) Open(raw []byte) (Checkpoint, error) {
	if len(raw) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%d bytes: the most is %d", len(raw), MaxCheckpoint)
	}
	n, err := note.Open(raw, note.VerifierList(append(k.own(), k.witnesses...)...))
	if err != nil {
		return Checkpoint{}, k.refusal(err)
	}
	cp, err := ParseText(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, s := range append(slices.Clone(n.Sigs), n.UnverifiedSigs...) {
		// Decoders are lenient about the last bits of a group; a signature has one form all the same.
		if b, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil || base64.StdEncoding.EncodeToString(b) != s.Base64 {
			return Checkpoint{}, fmt.Errorf("the signature of %s is not in its one form: it was changed", s.Name)
		}
	}
	if err := k.sort(n, &cp); err != nil {
		return Checkpoint{}, err
	}
	return cp, nil
}

// own are the verifiers of all keys of the log.
func (k *Keys) own() []note.Verifier {
	out := make([]note.Verifier, len(k.line), len(k.line)+len(k.witnesses))
	for i, h := range k.line {
		out[i] = h.v
	}
	return out
}

// sort says who signed, and refuses a checkpoint that the log or too few witnesses did.
func (k *Keys) sort(n *note.Note, cp *Checkpoint) error {
	newest := -1
	for _, s := range n.Sigs {
		if i := slices.IndexFunc(k.line, func(h held) bool { return s.Name == h.v.Name() && s.Hash == h.v.KeyHash() }); i >= 0 {
			if i > newest {
				newest, cp.Signer = i, keyID(s.Name, s.Hash)
			}
			continue
		}
		cp.Witnesses = append(cp.Witnesses, Cosignature{Name: s.Name, Time: timeOf(s)})
	}
	for _, s := range n.UnverifiedSigs {
		cp.Others = append(cp.Others, keyID(s.Name, s.Hash))
	}
	switch {
	case newest < 0 && len(cp.Others) > 0:
		return k.another(cp.Others)
	case newest < 0:
		return fmt.Errorf("not signed by the log: expected %s, found witnesses alone", k.expected())
	case cp.Origin != k.log.Name():
		return fmt.Errorf("of origin %q: expected %q, the name of the key", cp.Origin, k.log.Name())
	case len(cp.Witnesses) < k.quorum:
		return fmt.Errorf("signed by %d of the %d witnesses: %d are asked for", len(cp.Witnesses), len(k.witnesses), k.quorum)
	}
	return k.inForce(newest, *cp)
}

// expected names the keys that may have signed.
func (k *Keys) expected() string { return strings.Join(k.Signers(), " or ") }

// another refuses what none of the log's keys signed. A key that bears the log's name may be one that it was handed over to.
func (k *Keys) another(found []string) error {
	hint := ""
	if slices.ContainsFunc(found, func(id string) bool { return strings.HasPrefix(id, k.log.Name()+"+") }) {
		hint = ": if the log's key was handed over, the hand-overs (log.keys of the log) are needed behind the key"
	}
	return fmt.Errorf("signed by another key: expected %s, found %s%s", k.expected(), strings.Join(found, ", "), hint)
}

// refusal says in words why a note does not open.
func (k *Keys) refusal(err error) error {
	var invalid *note.InvalidSignatureError
	if errors.As(err, &invalid) {
		return fmt.Errorf("the signature of %s does not fit: the text or the signature was changed", keyID(invalid.Name, invalid.Hash))
	}
	var unknown *note.UnverifiedNoteError
	if errors.As(err, &unknown) {
		var by []string
		for _, s := range unknown.Note.UnverifiedSigs {
			by = append(by, keyID(s.Name, s.Hash))
		}
		return k.another(by)
	}
	return errors.New("no signed note: lines were cut, changed or added")
}

func keyID(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

// ParseText reads the three lines of a checkpoint, of which each has one form. Whether somebody signed them is another question.
func ParseText(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("expected origin, size and root on three lines, found %d", len(lines)-1)
	}
	size, err := parseNumber(lines[1])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("size: %w", err)
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("root: %w", err)
	}
	if lines[0] == "" {
		return Checkpoint{}, errors.New("expected an origin, found an empty line")
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root, Text: text}, nil
}

// parseNumber reads a decimal number in its one form.
func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63) // half of what fits, so that sums do
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("expected a decimal number without leading zeros, found %q", clip(s))
	}
	return n, nil
}

// parseHash reads a hash in its one form.
func parseHash(s string) (h Hash, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(h) || len(s) != base64.StdEncoding.EncodedLen(len(h)) { // decoders pass over line ends
		return h, fmt.Errorf("expected 32 bytes in base64, found %q", clip(s))
	}
	return Hash(b), nil
}

// clip keeps what is quoted of a stranger's file short.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
