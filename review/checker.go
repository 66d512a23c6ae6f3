package review

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

// Checker reads a log from its first entry on and checks what people reviewed in it: the text that was reviewed stands there, whole, and the signature fits it and a
// key that the log enrolled. Whether the enrolments themselves hold is the business of approval.Checker.
type Checker struct {
	book  *Book // of keys alone
	texts map[uint64]audit.ReviewText

	Bad []Bad

	Signed    int // reviews by people's own keys
	BySession int // and by session alone
}

// Bad is an entry that does not hold.
type Bad struct {
	Seq  uint64
	What string
}

// NewChecker starts before the first entry.
func NewChecker() *Checker { return &Checker{book: NewBook(), texts: map[uint64]audit.ReviewText{}} }

// Take reads the next entry.
func (c *Checker) Take(e audit.Entry) {
	var err error
	switch e.Kind {
	case audit.KindKeyEnrolled, audit.KindKeyRevoked:
		err = c.book.key(e)
	case audit.KindReviewText:
		var t audit.ReviewText
		if err = json.Unmarshal(e.Body, &t); err == nil {
			c.texts[e.Seq] = t
		}
	case audit.KindReviewSigned:
		err = c.review(e)
		clear(c.texts) // pieces stand before their review, and belong to no other
	}
	if err != nil {
		c.Bad = append(c.Bad, Bad{e.Seq, "review: " + strings.TrimPrefix(err.Error(), "review: ")})
	}
}

// text puts a text together and holds it against its digest.
func (c *Checker) text(what, digest string, pieces []uint64) ([]byte, error) {
	var b strings.Builder
	for i, seq := range pieces {
		t, ok := c.texts[seq]
		if !ok || t.What != what || t.Digest != digest || t.Piece != i+1 || t.Of != len(pieces) {
			return nil, fmt.Errorf("entry %d is not piece %d of the %s", seq, i+1, what)
		}
		b.WriteString(t.Text)
	}
	text := []byte(b.String())
	if _, got, err := canonical(json.RawMessage(text)); err != nil || got != digest {
		return nil, fmt.Errorf("the %s in the log is not the one that was reviewed", what)
	}
	return text, nil
}

func (c *Checker) review(e audit.Entry) error {
	var ev audit.ReviewSigned
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	s := Signed{File: File{Digest: ev.Document}, Role: ev.Role, Reason: ev.Reason}
	text, err := c.text("document", ev.Document, ev.DocumentPart)
	if err == nil {
		err = parse(text, &s.File.Document)
	}
	if err != nil {
		return err
	}
	if text, err = c.text("findings", ev.Findings, ev.FindingsPart); err == nil {
		err = parse(text, &s.Findings)
	}
	if err != nil {
		return err
	}
	d := &s.File.Document
	keep, remove, change := s.Tally()
	switch {
	case string(d.Review) != ev.Review || d.Charter != ev.Charter || d.Accepted != ev.Accepted || !d.Made.Equal(ev.Made):
		return fmt.Errorf("the document is another one than the entry says")
	case len(d.Items) != ev.Items || keep != ev.Keep || remove != ev.Remove || change != ev.Change:
		return fmt.Errorf("the findings are others than the entry counts")
	case !slices.Equal(d.People(ev.By), ev.People):
		return fmt.Errorf("the entry covers others than the document")
	}
	if err := s.Check(); err != nil {
		return err
	}
	if len(ev.Signature) == 0 {
		c.BySession++
		return nil
	}
	c.Signed++
	return c.signature(e, ev, s)
}

func (c *Checker) signature(e audit.Entry, ev audit.ReviewSigned, s Signed) error {
	var x sign.SignedReview
	if err := json.Unmarshal(ev.Signature, &x); err != nil {
		return err
	}
	k, ok := c.book.Keys[x.Statement.Key]
	switch {
	case !ok:
		return fmt.Errorf("signed by %s, a key that was not enrolled before", x.Statement.Key)
	case k.Person != ev.By:
		return fmt.Errorf("signed by %s, the key of %s", x.Statement.Key, k.Person)
	case !k.Revoked.IsZero():
		return fmt.Errorf("signed by %s, which was revoked before", x.Statement.Key)
	case !e.Time.Add(-skew).Before(k.Expires):
		return fmt.Errorf("signed by %s, which had ended", x.Statement.Key)
	}
	pub, err := sign.ParsePublic(k.Public)
	if err == nil {
		err = x.Verify(pub)
	}
	if err != nil {
		return fmt.Errorf("the signature does not fit: the review was changed after it was signed, or another key signed it")
	}
	return s.fits(x.Statement)
}
