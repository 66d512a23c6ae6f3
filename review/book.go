package review

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/audit"
)

// signed is the cause of an acceptance that two people signed.
const signed = "signed"

// bounds of what is kept.
const (
	keptPast = 200
	keptGone = 2000
)

// Book is what the log says of what is in force. Its fields are kept between runs as a shortcut to the log; one goroutine owns it.
type Book struct {
	Charter  charter.Charter      `json:"charter"`
	Digest   string               `json:"digest,omitempty"` // of the charter
	Accepted uint64               `json:"accepted"`         // index of its policy.accepted
	Since    time.Time            `json:"since,omitzero"`   // of the first acceptance
	Marks    map[string]Mark      `json:"marks"`            // of items, by their ids
	Uses     map[string]Use       `json:"uses"`
	Acts     map[string]Act       `json:"acts"` // the newest of each pseudonym
	Keys     map[string]Key       `json:"keys"`
	Gone     []Gone               `json:"gone"`     // items that are in force no more
	Past     []Past               `json:"past"`     // reviews, the oldest first
	Reviewed map[string]time.Time `json:"reviewed"` // "filter", and pseudonyms whose rights somebody else reviewed
	Told     map[string]bool      `json:"told"`     // warnings
	Signers  map[string][]string  `json:"signers"`  // tickets for a wider policy, and who approved them

	parts  map[string][]string // pieces of charters that nothing accepted yet, by digest
	places []netip.Prefix      // of the charter, the longest first
}

// Mark says since when an item is in force as it is.
type Mark struct {
	First  time.Time `json:"first"` // since when there is one of its name at all
	At     time.Time `json:"at"`
	Entry  uint64    `json:"entry"` // the policy.accepted
	By     string    `json:"by,omitempty"`
	Signed []string  `json:"signed,omitempty"` // pseudonyms who approved the ticket
	Cause  string    `json:"cause"`
	Hash   string    `json:"hash"` // of what the charter says of it
}

// Use is what last used an item.
type Use struct {
	At    time.Time `json:"at"`
	Entry uint64    `json:"entry"`
	Times uint64    `json:"times"`
}

// Act is the newest entry that names a person as the one who did it.
type Act struct {
	At    time.Time  `json:"at"`
	Entry uint64     `json:"entry"`
	What  audit.Kind `json:"what"`
}

// Key is one of a person's keys, as entries enrolled and revoked it.
type Key struct {
	Person  string    `json:"person"`
	Public  string    `json:"public"`
	Expires time.Time `json:"expires"`
	At      time.Time `json:"at"`
	Entry   uint64    `json:"entry"`
	How     string    `json:"how"`
	Vouched []string  `json:"vouched,omitempty"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// Gone is an item that was in force.
type Gone struct {
	ID    string    `json:"id"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Entry uint64    `json:"entry"` // the policy.accepted that left it out
	By    string    `json:"by,omitempty"`
}

// Past is a review that was signed.
type Past struct {
	Review   Kind      `json:"review"`
	At       time.Time `json:"at"`
	Entry    uint64    `json:"entry"`
	By       string    `json:"by"`
	Role     string    `json:"role"`
	Auth     string    `json:"auth"`
	Reason   string    `json:"reason"`
	Document string    `json:"document"`
	Charter  string    `json:"charter"`
	Items    int       `json:"items"`
	Keep     int       `json:"keep"`
	Remove   int       `json:"remove"`
	Change   int       `json:"change"`
}

// NewBook knows nothing.
func NewBook() *Book {
	return &Book{
		Marks: map[string]Mark{}, Uses: map[string]Use{}, Acts: map[string]Act{}, Keys: map[string]Key{}, Reviewed: map[string]time.Time{}, Told: map[string]bool{},
		Signers: map[string][]string{},
	}
}

// Whole says whether a book that was read from the state can be used.
func (b *Book) Whole() bool {
	return b.Marks != nil && b.Uses != nil && b.Acts != nil && b.Keys != nil && b.Reviewed != nil && b.Told != nil && b.Signers != nil
}

// Settled says whether the book can be kept as it is: in the middle of a policy it cannot.
func (b *Book) Settled() bool { return len(b.parts) == 0 }

// Wanted says which entries a book reads. What calls and probes write in masses says nothing about rules that receipts do not say.
func Wanted(k audit.Kind) bool {
	switch k {
	case audit.KindCallEnded, audit.KindCallTransferred, audit.KindMediaMoved, audit.KindMediaSilent, audit.KindMediaUnkeyed, audit.KindHealthChanged, audit.KindClockQuality,
		audit.KindIngressRefused, audit.KindFenceRefused:
		return false
	}
	return true
}

// Take reads the next entry. An entry that does not read is an error and changes nothing.
func (b *Book) Take(e audit.Entry) error {
	var err error
	switch e.Kind {
	case audit.KindReceipt, audit.KindMessageRelayed:
		err = b.used(e)
	case audit.KindPolicyCharter:
		err = b.piece(e)
	case audit.KindPolicyAccepted:
		err = b.accepted(e)
	case audit.KindGateChanged:
		err = b.gate(e)
	case audit.KindKeyEnrolled, audit.KindKeyRevoked:
		err = b.key(e)
	case audit.KindApprovalNotified:
		err = b.notified(e)
	case audit.KindReviewSigned:
		err = b.reviewed(e)
	case audit.KindReviewDue:
		err = b.told(e)
	case audit.KindCopyLevel:
		b.use(e, "destination worm copy")
	}
	if err != nil {
		return fmt.Errorf("review: entry %d: %w", e.Seq, err)
	}
	b.acted(e)
	return nil
}

// acted remembers who did something last, whatever it was.
func (b *Book) acted(e audit.Entry) {
	if e.Kind == audit.KindReceipt || !bytes.Contains(e.Body, []byte(`"by":"p-`)) {
		return
	}
	var body struct {
		By string `json:"by"`
	}
	if json.Unmarshal(e.Body, &body) == nil && strings.HasPrefix(body.By, "p-") {
		b.Acts[body.By] = Act{e.Time, e.Seq, e.Kind}
	}
}

func (b *Book) use(e audit.Entry, id string) {
	if _, there := b.Marks[id]; !there {
		return
	}
	u := b.Uses[id]
	b.Uses[id] = Use{e.Time, e.Seq, u.Times + 1}
}

// used reads a receipt, or a message that was relayed.
func (b *Book) used(e audit.Entry) error {
	type hop struct {
		Addr   string `json:"remote_addr"`
		Region string `json:"declared_region"`
	}
	var r struct {
		Trunk     string `json:"trunk_id"`
		Group     string `json:"edge_group_id"`
		From      string `json:"from"`
		To        string `json:"to"`
		Hop       *hop   `json:"hop"`
		Hops      []hop  `json:"hops"`
		Transfers []struct {
			Party string `json:"party"`
		} `json:"transfers"`
	}
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return err
	}
	ids := map[string]bool{}
	for _, name := range []string{r.Trunk, r.Group, r.From, r.To} {
		ids["party "+name] = true
	}
	for _, t := range r.Transfers {
		ids["party "+t.Party] = true
	}
	if r.Hop != nil {
		r.Hops = append(r.Hops, *r.Hop)
	}
	for _, h := range r.Hops {
		ids["allow "+h.Region], ids["region "+h.Region] = true, true
		if a, err := netip.ParseAddrPort(h.Addr); err == nil {
			if i := slices.IndexFunc(b.prefixes(), func(p netip.Prefix) bool { return p.Contains(a.Addr().Unmap()) }); i >= 0 {
				ids["place "+b.places[i].String()] = true
			}
		}
	}
	for id := range ids {
		b.use(e, id)
	}
	return nil
}

// prefixes are the declared ones, the longest first.
func (b *Book) prefixes() []netip.Prefix {
	if b.places == nil {
		b.places = []netip.Prefix{}
		for _, d := range b.Charter.Places {
			if p, err := netip.ParsePrefix(d.Prefix); err == nil {
				b.places = append(b.places, p.Masked())
			}
		}
		slices.SortStableFunc(b.places, func(x, y netip.Prefix) int { return y.Bits() - x.Bits() })
	}
	return b.places
}

func (b *Book) piece(e audit.Entry) error {
	var p audit.PolicyCharter
	if err := json.Unmarshal(e.Body, &p); err != nil {
		return err
	}
	if p.Piece == 1 { // pieces of one policy stand in order; those of one that nothing accepted are of no use
		b.parts = map[string][]string{}
	}
	if b.parts != nil {
		b.parts[p.Charter] = append(b.parts[p.Charter], p.Text)
	}
	return nil
}

// accepted puts a policy into the book, and notes what of it is new, changed or gone.
func (b *Book) accepted(e audit.Entry) error {
	var ev audit.PolicyAccepted
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	text := []byte(strings.Join(b.parts[ev.Charter], ""))
	b.parts = nil
	if charter.Digest(text) != ev.Charter {
		return fmt.Errorf("the text of the policy %.16s does not stand before its acceptance", ev.Charter)
	}
	c, err := charter.Parse(text)
	if err != nil {
		return err
	}
	m := Mark{At: e.Time, Entry: e.Seq, By: ev.By, Signed: b.Signers[ev.Ticket], Cause: ev.Cause}
	delete(b.Signers, ev.Ticket)
	next := map[string]Mark{}
	for _, r := range slices.Concat(filterRules(&c), accessRules(&c)) {
		old, was := b.Marks[r.id]
		now := m
		if now.First, now.Hash = e.Time, r.hash(); was {
			now.First = old.First
			if old.Hash == now.Hash {
				now = old
			}
		}
		next[r.id] = now
	}
	for id, old := range b.Marks {
		if _, stays := next[id]; !stays {
			b.Gone = append(b.Gone, Gone{ID: id, From: old.First, To: e.Time, Entry: e.Seq, By: ev.By})
			delete(b.Uses, id)
		}
	}
	slices.SortStableFunc(b.Gone, func(x, y Gone) int { return x.To.Compare(y.To) })
	b.Gone = b.Gone[max(0, len(b.Gone)-keptGone):]
	if b.Since.IsZero() {
		b.Since = e.Time
	}
	b.Charter, b.Digest, b.Accepted, b.Marks, b.places = c, ev.Charter, e.Seq, next, nil
	return nil
}

// gate reads who signs for a wider policy, and which legal basis a grant rests on.
func (b *Book) gate(e audit.Entry) error {
	var ev struct {
		Ticket string `json:"ticket"`
		Record *struct {
			Ticket struct {
				State string `json:"state"`
				Plan  struct {
					Basis  string           `json:"legal_basis"`
					Change *json.RawMessage `json:"change"`
				} `json:"plan"`
				Decisions []struct {
					Person  string `json:"person"`
					Approve bool   `json:"approve"`
				} `json:"decisions"`
			} `json:"ticket"`
		} `json:"record"`
	}
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	if ev.Record == nil {
		return nil
	}
	t := ev.Record.Ticket
	if t.Plan.Basis != "" && (t.State == "ACTIVE" || t.State == "BREAK_GLASS_ACTIVE") {
		b.use(e, "basis "+t.Plan.Basis)
	}
	if t.Plan.Change == nil {
		return nil
	}
	switch t.State {
	case "REQUESTED", "PENDING", "APPROVED":
		b.Signers[ev.Ticket] = nil
		for _, d := range t.Decisions {
			if d.Approve {
				b.Signers[ev.Ticket] = append(b.Signers[ev.Ticket], d.Person)
			}
		}
	default:
		delete(b.Signers, ev.Ticket)
	}
	return nil
}

func (b *Book) key(e audit.Entry) error {
	var ev struct {
		How  string `json:"how"`
		Keys []struct {
			ID      string    `json:"key_id"`
			Public  string    `json:"public"`
			Person  string    `json:"person"`
			Expires time.Time `json:"expires"`
		} `json:"keys"`
		Vouches []struct {
			Person string `json:"person"`
		} `json:"vouches"`
		ID string `json:"key_id"` // of one that is revoked
	}
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	if e.Kind == audit.KindKeyRevoked {
		if k, ok := b.Keys[ev.ID]; ok && k.Revoked.IsZero() {
			k.Revoked = e.Time
			b.Keys[ev.ID] = k
		}
		return nil
	}
	for _, x := range ev.Keys {
		if _, there := b.Keys[x.ID]; there {
			continue
		}
		k := Key{Person: x.Person, Public: x.Public, Expires: x.Expires, At: e.Time, Entry: e.Seq, How: ev.How}
		for _, v := range ev.Vouches {
			k.Vouched = append(k.Vouched, v.Person)
		}
		b.Keys[x.ID] = k
	}
	return nil
}

func (b *Book) notified(e audit.Entry) error {
	var ev audit.ApprovalNotified
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	if ev.Failure == "" {
		b.use(e, "destination notify "+ev.Channel)
	}
	return nil
}

func (b *Book) reviewed(e audit.Entry) error {
	var ev audit.ReviewSigned
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	b.Past = append(b.Past, Past{
		Review: Kind(ev.Review), At: e.Time, Entry: e.Seq, By: ev.By, Role: ev.Role, Auth: ev.Auth, Reason: ev.Reason, Document: ev.Document, Charter: ev.Charter,
		Items: ev.Items, Keep: ev.Keep, Remove: ev.Remove, Change: ev.Change,
	})
	b.Past = b.Past[max(0, len(b.Past)-keptPast):]
	if Kind(ev.Review) == Filter {
		b.Reviewed[string(Filter)] = e.Time
	}
	for _, p := range ev.People {
		if p != ev.By {
			b.Reviewed[p] = e.Time
		}
	}
	return nil
}

func (b *Book) told(e audit.Entry) error {
	var ev audit.ReviewDue
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	b.Told[Warning{Review: Kind(ev.Review), Due: ev.Due, Days: ev.Days}.mark()] = true
	return nil
}
