package review

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cordonsip/cordon/approval/sign"
)

// The forms of files, as their member "cordon" says.
const (
	FileForm   = "review v1"
	SignedForm = "review signed v1"
)

// MaxFile is the size of the longest file that is read, in bytes. What the door takes at once is no more.
const MaxFile = 1 << 20

// File is a document as it is carried to who reviews. The seal is the node's: only what it made itself comes back.
type File struct {
	Form     string   `json:"cordon"`
	Document Document `json:"document"`
	Digest   string   `json:"digest"`
	Seal     string   `json:"seal"`
}

// Verdict is what a person says of an item.
type Verdict string

// The verdicts. Nothing of them changes anything: a change is a new policy, and its own decision.
const (
	Keep   Verdict = "keep"
	Remove Verdict = "remove"
	Change Verdict = "change"
)

// Finding is the word on one item.
type Finding struct {
	Item    string  `json:"item"`
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"`
}

// Signed is a review on its way: by a session without Signature, else by the key that signed.
type Signed struct {
	Form      string             `json:"cordon"`
	File      File               `json:"file"`
	Findings  []Finding          `json:"findings"` // items that none names are kept
	Role      string             `json:"role"`
	Reason    string             `json:"reason"`
	Signature *sign.SignedReview `json:"signature,omitempty"`
}

// Refusal says why a review was not taken, and what to do.
type Refusal struct{ What, Hint string }

func (r *Refusal) Error() string { return "review: " + r.What }

func refuse(hint, format string, a ...any) *Refusal { return &Refusal{fmt.Sprintf(format, a...), hint} }

// Make seals a document. mac is the node's own: nobody else can make the seal.
func Make(d Document, mac func([]byte) []byte) (File, error) {
	_, digest, err := d.Canonical()
	if err != nil {
		return File{}, err
	}
	return File{Form: FileForm, Document: d, Digest: digest, Seal: hex.EncodeToString(mac([]byte(digest)))}, nil
}

// ReadFile reads a document that somebody is to review, and makes its digest anew.
func ReadFile(raw []byte) (File, error) {
	var f File
	if err := sign.Strict(raw, MaxFile, FileForm, &f); err != nil {
		return f, refuse("cordon review show writes it again", "%s", err)
	}
	return f, f.check()
}

// ReadSigned reads a review.
func ReadSigned(raw []byte) (Signed, error) {
	var s Signed
	if err := sign.Strict(raw, MaxFile, SignedForm, &s); err != nil {
		return s, refuse("sign the document again: cordon review sign", "%s", err)
	}
	return s, s.File.check()
}

func (f File) check() error {
	_, digest, err := f.Document.Canonical()
	if err != nil {
		return err
	}
	if f.Form != FileForm || f.Document.Form != DocumentForm || digest != f.Digest || !slices.Contains(Kinds(), f.Document.Review) {
		return refuse("cordon review show writes it again", "the document was changed: its digest is %s, and the file says %.64q", digest, f.Digest)
	}
	return nil
}

// Statement is what a person signs. The time is the signer's clock; the nonce is 16 bytes of chance in hex.
func (s Signed) Statement(at time.Time, nonce string) (sign.ReviewStatement, error) {
	_, findings, err := canonical(s.sortedFindings())
	return sign.ReviewStatement{
		Review: string(s.File.Document.Review), Document: s.File.Digest, Findings: findings, Role: s.Role, Reason: s.Reason, At: at, Nonce: nonce,
	}, err
}

// sortedFindings are the findings in the one order that is signed, never nil.
func (s Signed) sortedFindings() []Finding {
	out := append([]Finding{}, s.Findings...)
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Item, b.Item) })
	return out
}

// FindingsText is what stands in the log of them, and its digest.
func (s Signed) FindingsText() (text []byte, digest string, err error) {
	return canonical(s.sortedFindings())
}

// bounds of a review.
const (
	maxReason = 2000 // bytes
	stale     = 30 * 24 * time.Hour
	skew      = 2 * time.Minute
)

// Check says what is wrong with the findings by themselves: a finding for each item with something to look at, one at most for each, with a reason.
func (s Signed) Check() error {
	items, named := map[string]bool{}, map[string]bool{}
	for _, i := range s.File.Document.Items {
		items[i.ID] = true
	}
	for _, f := range s.Findings {
		switch {
		case !items[f.Item]:
			return refuse("cordon review show names the items", "there is no item %.100q in the document", f.Item)
		case named[f.Item]:
			return refuse("one finding for each item", "%q stands twice", f.Item)
		case !slices.Contains([]Verdict{Keep, Remove, Change}, f.Verdict):
			return refuse("keep, remove or change", "%.40q is no finding", string(f.Verdict))
		}
		if err := sentence("a finding on "+f.Item, f.Reason); err != nil {
			return err
		}
		named[f.Item] = true
	}
	for _, i := range s.File.Document.Items {
		if len(i.Points) > 0 && !named[i.ID] {
			return refuse("say keep, remove or change, and why", "nobody said what becomes of %q: %s", i.ID, strings.Join(i.Points, "; "))
		}
	}
	return sentence("a review", s.Reason)
}

func sentence(what, reason string) error {
	if strings.TrimSpace(reason) == "" || len(reason) > maxReason || !utf8.ValidString(reason) {
		return refuse(fmt.Sprintf("at most %d bytes, and no name of a person: it stands in the log", maxReason), "%s needs a reason", what)
	}
	return nil
}

// Tally counts the verdicts; what no finding names is kept.
func (s Signed) Tally() (keep, remove, change int) {
	for _, f := range s.Findings {
		switch f.Verdict {
		case Remove:
			remove++
		case Change:
			change++
		}
	}
	return len(s.File.Document.Items) - remove - change, remove, change
}

// People are those of an access review whose rights who signs may judge: nobody judges their own.
func (d Document) People(by string) (out []string) {
	for _, i := range d.Items {
		if who, is := strings.CutPrefix(i.ID, "person "); is && who != by && d.Review == Access {
			out = append(out, who)
		}
	}
	return out
}

// Judge says why a review by a person in a role does not count; nil when it does. mac is the node's.
func (b *Book) Judge(s Signed, set Settings, by string, roles []string, mac func([]byte) []byte, now time.Time) error {
	d := &s.File.Document
	if err := s.File.check(); err != nil {
		return err
	}
	seal, err := hex.DecodeString(s.File.Seal)
	switch {
	case err != nil || !hmac.Equal(seal, mac([]byte(s.File.Digest))):
		return refuse("cordon review show --out=FILE makes it", "this node did not make the document")
	case d.Charter != b.Digest || d.Accepted != b.Accepted:
		return refuse("cordon review show, and review that", "another policy is in force by now (entry %d) than the one that was reviewed (entry %d)", b.Accepted, d.Accepted)
	case d.Made.After(now.Add(skew)) || now.Sub(d.Made) > stale:
		return refuse("cordon review show makes a new one", "the document is of %s", d.Made.Format(time.RFC3339))
	case !set.MayReview(s.Role):
		return refuse("reviews.roles names the roles that review", "%q does not review", s.Role)
	case !slices.Contains(roles, s.Role):
		return refuse("sign in a role that you hold", "the person does not hold the role %q", s.Role)
	case s.Signature == nil && set.Signed:
		return refuse("cordon review sign --key=FILE", "reviews are signed here with people's own keys, and a session is no signature")
	case d.Review == Access && len(d.People(by)) == 0:
		return refuse("somebody else reviews them", "nobody reviews their own rights alone")
	case slices.ContainsFunc(b.Past, func(p Past) bool { return p.Document == s.File.Digest && p.By == by }):
		return refuse("cordon review show makes a new document", "the person reviewed this very document before")
	}
	if err := s.Check(); err != nil {
		return err
	}
	if s.Signature == nil {
		return nil
	}
	st := s.Signature.Statement
	if err := s.fits(st); err != nil {
		return err
	}
	if st.At.After(now.Add(skew)) || st.At.Before(d.Made.Add(-skew)) {
		return refuse("set the clock of the machine that signed, and sign again", "it was signed at %s, which is before the document or still to come", st.At.Format(time.RFC3339))
	}
	return nil
}

// fits says whether a statement is over this very review.
func (s Signed) fits(st sign.ReviewStatement) error {
	want, err := s.Statement(st.At, st.Nonce)
	if err != nil {
		return err
	}
	if want.Key = st.Key; want != st {
		return refuse("sign it again", "what was signed is another document, finding, role or reason")
	}
	return nil
}

// Pieces cuts a text between two runes, so that each piece is one by itself.
func Pieces(text []byte) (out []string) {
	const most = 24 << 10 // as a JSON string it may double
	for len(text) > most {
		n := most
		for n > 0 && text[n]&0xC0 == 0x80 {
			n--
		}
		out, text = append(out, string(text[:n])), text[n:]
	}
	return append(out, string(text))
}

// parse reads a text that stands in the log.
func parse(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more than one value")
	}
	return nil
}
