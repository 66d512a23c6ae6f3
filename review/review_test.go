package review

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// story is a log under the pen: a book and a checker read each entry.
type story struct {
	t     *testing.T
	book  *Book
	check *Checker
	now   time.Time
	seq   uint64
	all   []audit.Entry
}

func newStory(t *testing.T) *story {
	return &story{t: t, book: NewBook(), check: NewChecker(), now: at("2026-01-01T00:00:00Z")}
}

func (s *story) on(when string) *story { s.now = at(when); return s }

// write adds an entry. kind is for bodies without a struct.
func (s *story) write(kind audit.Kind, body any) uint64 {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	e := audit.Entry{Seq: s.seq, Kind: kind, Time: s.now, Body: raw}
	s.all = append(s.all, e)
	if err := s.book.Take(e); err != nil {
		s.t.Fatalf("%s: %v", kind, err)
	}
	s.check.Take(e)
	s.seq++
	return e.Seq
}

func (s *story) event(ev audit.Event) uint64 { s.t.Helper(); return s.write(ev.Kind(), ev) }

// accept puts a charter in force, in two pieces.
func (s *story) accept(c charter.Charter, cause, ticket string) {
	s.t.Helper()
	text, err := c.Canonical()
	if err != nil {
		s.t.Fatal(err)
	}
	digest, half := charter.Digest(text), len(text)/2
	s.event(audit.PolicyCharter{Charter: digest, Piece: 1, Of: 2, Text: string(text[:half])})
	s.event(audit.PolicyCharter{Charter: digest, Piece: 2, Of: 2, Text: string(text[half:])})
	s.event(audit.PolicyAccepted{Charter: digest, Cause: cause, By: "p-olga", Ticket: ticket})
}

var frankfurt, dublin = sovereign.Region{Provider: "aws", Code: "eu-central-1"}, sovereign.Region{Provider: "aws", Code: "eu-west-1"}

func policy() charter.Charter {
	return charter.Charter{
		Policy:       sovereign.Policy{Preset: "eea", Home: frankfurt, Allow: []sovereign.Region{frankfurt, dublin}},
		Places:       []sovereign.Declaration{{Prefix: "192.0.2.0/24", Region: frankfurt, Contract: "c"}, {Prefix: "192.0.2.128/25", Region: dublin, Contract: "d", ValidUntil: at("2026-03-01T00:00:00Z")}},
		Parties:      []sovereign.Party{{Name: "carrier", Kind: sovereign.KindTrunk, Region: frankfurt}, {Name: "fra", Kind: sovereign.KindGroup, Region: frankfurt}},
		People:       []charter.Person{{Person: "p-anna", Roles: []string{"ciso"}, Expires: at("2030-01-01T00:00:00Z")}, {Person: "p-ben", Roles: []string{"auditor"}}},
		Destinations: []charter.Destination{{Use: "notify", Name: "pager", Mark: "m", Tells: true}},
		OnLogFailure: "refuse", Position: &charter.Spot{},
	}
}

func (s *story) mac(b []byte) []byte {
	m := hmac.New(sha256.New, []byte("node"))
	m.Write(b)
	return m.Sum(nil)
}

// file is the document of a kind as of now.
func (s *story) file(k Kind) File {
	s.t.Helper()
	f, err := Make(s.book.Document(k, "bank-1", "edge-1", Facts{"p-ben": {"deputises for ciso"}}, s.seq, s.now), s.mac)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// found is a review that keeps what there is something to look at of.
func found(f File, role string) Signed {
	x := Signed{Form: SignedForm, File: f, Findings: []Finding{}, Role: role, Reason: "looked at"}
	for _, i := range f.Document.Items {
		if len(i.Points) > 0 {
			x.Findings = append(x.Findings, Finding{i.ID, Keep, "needed"})
		}
	}
	return x
}

// take writes a review as a node does.
func (s *story) take(x Signed, by string) audit.ReviewSigned {
	s.t.Helper()
	d := x.File.Document
	document, _, err := d.Canonical()
	if err != nil {
		s.t.Fatal(err)
	}
	findings, digest, err := x.FindingsText()
	if err != nil {
		s.t.Fatal(err)
	}
	ev := audit.ReviewSigned{
		Review: string(d.Review), Document: x.File.Digest, Findings: digest, Charter: d.Charter, Accepted: d.Accepted, Made: d.Made, Items: len(d.Items), By: by, Role: x.Role, Reason: x.Reason, Auth: "bearer",
		People: d.People(by),
	}
	ev.Keep, ev.Remove, ev.Change = x.Tally()
	if x.Signature != nil {
		ev.Auth = "signature"
		if ev.Signature, err = json.Marshal(x.Signature); err != nil {
			s.t.Fatal(err)
		}
	}
	put := func(what, digest string, text []byte) (out []uint64) {
		list := Pieces(text)
		for i, p := range list {
			out = append(out, s.event(audit.ReviewText{Digest: digest, What: what, Piece: i + 1, Of: len(list), Text: p}))
		}
		return out
	}
	ev.DocumentPart, ev.FindingsPart = put("document", ev.Document, document), put("findings", ev.Findings, findings)
	s.event(ev)
	return ev
}

func (s *story) item(k Kind, id string) Item {
	s.t.Helper()
	for _, i := range s.book.items(k, nil, s.now) {
		if i.ID == id {
			return i
		}
	}
	s.t.Fatalf("no item %q", id)
	return Item{}
}

// The document says since when each rule stands, who accepted it, what last used it, and what there is to look at.
func TestWhatIsInForce(t *testing.T) {
	s := newStory(t)
	s.accept(policy(), "first_start", "")
	s.on("2026-02-01T00:00:00Z").event(audit.Receipt{
		Trunk: "carrier", EdgeGroup: "fra", Hops: []audit.ReceiptHop{{RemoteAddr: netip.MustParseAddrPort("192.0.2.200:5060").String(), DeclaredRegion: "aws:eu-west-1"}},
	})
	s.event(audit.ApprovalNotified{Ticket: "t", Channel: "pager"})
	s.event(audit.ServiceChanged{What: "group", Name: "fra", By: "p-anna"})
	wider := policy()
	wider.Policy.Allow = append(wider.Policy.Allow, sovereign.Region{Provider: "aws", Code: "eu-north-1"})
	wider.People = append(wider.People[:1:1], charter.Person{Person: "p-cleo", Roles: []string{"ciso", "operator"}, Expires: at("2026-08-10T00:00:00Z")})
	type words map[string]any
	s.write(audit.KindGateChanged, words{"ticket": "t9", "record": words{"ticket": words{
		"state": "APPROVED", "plan": words{"change": words{"to": "x"}},
		"decisions": []words{{"person": "p-anna", "approve": true}, {"person": "p-ben", "approve": false}},
	}}})
	s.on("2026-02-02T00:00:00Z").accept(wider, "signed", "t9")
	s.on("2026-08-05T00:00:00Z")
	for id, want := range map[string]string{
		"allow aws:eu-central-1":   "2026-01-01|never used in 216 days",
		"allow aws:eu-west-1":      "2026-01-01|not used for 185 days",
		"allow aws:eu-north-1":     "2026-02-02|never used in 184 days",
		"place 192.0.2.0/24":       "2026-01-01|never used in 216 days",
		"place 192.0.2.128/25":     "2026-01-01|not used for 185 days; ended on 2026-03-01 and still stands there",
		"party carrier":            "2026-01-01|not used for 185 days",
		"destination notify pager": "2026-01-01|not used for 185 days",
		"policy preset":            "2026-01-01|",
		"policy node_position":     "2026-01-01|",
	} {
		i := s.item(Filter, id)
		if got := day(i.Since) + "|" + strings.Join(i.Points, "; "); got != want {
			t.Errorf("%s: %s; want %s", id, got, want)
		}
	}
	if i := s.item(Filter, "allow aws:eu-north-1"); !slices.Equal(i.Signed, []string{"p-anna"}) || i.By != "p-olga" || i.Cause != "signed" || i.Entry == 0 {
		t.Errorf("%+v", i)
	}
	if i := s.item(Filter, "place 192.0.2.128/25"); i.Times != 1 || i.LastAt != 3 {
		t.Errorf("the longest prefix was not the one in use: %+v", i)
	}
	if i := s.item(Access, "person p-anna"); !i.Last.Equal(at("2026-02-01T00:00:00Z")) || strings.Join(i.Points, "") != "not acted for 185 days" {
		t.Errorf("%+v", i)
	}
	if i := s.item(Access, "person p-cleo"); strings.Join(i.Points, "; ") != "operates and decides: ciso operator; never acted in 184 days; ends on 2026-08-10" {
		t.Errorf("%+v", i)
	}
	d := s.book.Document(Access, "bank-1", "edge-1", nil, s.seq, s.now)
	if len(d.Gone) != 1 || d.Gone[0].ID != "person p-ben" || !d.Gone[0].To.Equal(at("2026-02-02T00:00:00Z")) {
		t.Errorf("who left: %+v", d.Gone)
	}
	if f := s.book.Document(Filter, "", "", nil, s.seq, s.now); len(f.Gone) != 0 {
		t.Errorf("%+v", f.Gone)
	}
}

// A book that was kept and taken up again says the same as one that read the whole log.
func TestABookIsKept(t *testing.T) {
	s := newStory(t)
	s.accept(policy(), "first_start", "")
	s.take(found(s.file(Filter), "ciso"), "p-anna")
	raw, err := json.Marshal(s.book)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBook()
	if err := json.Unmarshal(raw, b); err != nil || !b.Whole() || !b.Settled() {
		t.Fatal(err)
	}
	one, _, _ := canonical(s.book.Document(Filter, "", "", nil, 0, s.now))
	two, _, err := canonical(b.Document(Filter, "", "", nil, 0, s.now))
	if err != nil || string(one) != string(two) {
		t.Errorf("%v\n%s\n%s", err, one, two)
	}
	if (&Book{}).Whole() {
		t.Error("a book without its maps can be used")
	}
	for _, e := range []audit.Entry{{Kind: audit.KindPolicyAccepted, Body: []byte(`{"charter":"00"}`)}, {Kind: audit.KindReceipt, Body: []byte("[]")}, {Kind: audit.KindReviewSigned, Body: []byte("[]")}} {
		if b.Take(e) == nil {
			t.Errorf("%s was taken", e.Kind)
		}
	}
}

// The clocks run from the last review, or for access from the oldest right that nobody but its holder reviewed; warnings are told once.
func TestClocks(t *testing.T) {
	s := newStory(t)
	if x := s.book.Standings(Settings{}, s.now); !x[0].Due.IsZero() || !x[1].Due.IsZero() || len(s.book.Warnings(Settings{}, s.now.AddDate(9, 0, 0))) != 0 {
		t.Errorf("%+v", x)
	}
	s.accept(policy(), "first_start", "")
	due := func(k Kind, want string, waits ...string) {
		t.Helper()
		for _, x := range s.book.Standings(Settings{}, s.now) {
			if x.Review == k && (!x.Due.Equal(at(want)) || x.Late != !s.now.Before(at(want)) || !slices.Equal(x.Waits, waits)) {
				t.Errorf("%s on %s: due %s, late %t, waits for %v; want %s, %v", k, s.now, x.Due, x.Late, x.Waits, want, waits)
			}
		}
	}
	told := func(set Settings, want string) {
		t.Helper()
		var got []string
		for _, w := range s.book.Warnings(set, s.now) {
			word := string(w.Review)
			if ev := (audit.ReviewDue{Review: word, Due: w.Due, Days: w.Days}); w.Late {
				word += " late"
				s.event(ev)
			} else {
				word += " " + day(w.Due.AddDate(0, 0, -w.Days))
				s.event(ev)
			}
			got = append(got, word)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("on %s: told %v; want %s", s.now, got, want)
		}
	}
	due(Filter, "2026-07-01T00:00:00Z")
	due(Access, "2026-07-01T00:00:00Z", "p-anna", "p-ben")
	s.on("2026-05-31T23:59:59Z")
	told(Settings{}, "")
	s.on("2026-06-01T00:00:00Z")
	told(Settings{}, "filter 2026-06-01, access 2026-06-01")
	told(Settings{}, "")
	s.on("2026-06-10T00:00:00Z").take(found(s.file(Filter), "ciso"), "p-anna")
	due(Filter, "2026-12-10T00:00:00Z")
	s.take(found(s.file(Access), "ciso"), "p-anna") // of ben alone
	due(Access, "2026-07-01T00:00:00Z", "p-anna")
	s.on("2026-06-29T00:00:00Z") // the nearest of two thresholds
	told(Settings{}, "access 2026-06-24")
	s.on("2026-07-01T00:00:00Z")
	told(Settings{}, "access late")
	told(Settings{}, "")
	s.take(found(s.file(Access), "auditor"), "p-ben")
	due(Access, "2026-12-10T00:00:00Z", "p-ben")
	s.event(audit.ReviewSigned{Review: "access", By: "p-ben", People: []string{"p-ben"}}) // nobody reviews their own
	due(Access, "2026-12-10T00:00:00Z", "p-ben")
	s.on("2026-07-09T00:00:00Z")
	told(Settings{Every: map[Kind]int{Filter: 1}, Warn: []int{1}}, "filter 2026-07-09")
}

// What a node refuses to take, each with its reason.
func TestRefusals(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	base := newStory(t)
	base.accept(policy(), "first_start", "")
	base.on("2026-06-01T00:00:00Z")
	signedBy := func(s *story, x *Signed, when time.Time) {
		st, err := x.Statement(when, strings.Repeat("ab", 16))
		if err != nil {
			t.Fatal(err)
		}
		y, err := sign.SignReview(key, st)
		if err != nil || y.Verify(pub) != nil {
			t.Fatal(err)
		}
		x.Signature = &y
	}
	for name, c := range map[string]struct {
		kind   Kind
		change func(s *story, x *Signed)
		by     string
		want   string
	}{
		"a good one":               {Filter, func(*story, *Signed) {}, "p-anna", ""},
		"signed":                   {Filter, func(s *story, x *Signed) { signedBy(s, x, s.now) }, "p-anna", ""},
		"of another node":          {Filter, func(_ *story, x *Signed) { x.File.Seal = strings.Repeat("00", 32) }, "p-anna", "this node did not make"},
		"with an item less":        {Filter, func(_ *story, x *Signed) { x.File.Document.Items = x.File.Document.Items[1:] }, "p-anna", "the document was changed"},
		"of another policy":        {Filter, func(s *story, _ *Signed) { p := policy(); p.OnLogFailure = "x"; s.accept(p, "narrower", "") }, "p-anna", "another policy is in force"},
		"old":                      {Filter, func(s *story, _ *Signed) { s.now = s.now.Add(31 * 24 * time.Hour) }, "p-anna", "the document is of"},
		"in no reviewing role":     {Filter, func(_ *story, x *Signed) { x.Role = "operator" }, "p-anna", "does not review"},
		"in a role of another":     {Filter, func(_ *story, x *Signed) { x.Role = "auditor" }, "p-anna", "does not hold the role"},
		"without a finding":        {Filter, func(_ *story, x *Signed) { x.Findings = x.Findings[1:] }, "p-anna", "nobody said what becomes of"},
		"two findings on one":      {Filter, func(_ *story, x *Signed) { x.Findings = append(x.Findings, x.Findings[0]) }, "p-anna", "stands twice"},
		"a finding on nothing":     {Filter, func(_ *story, x *Signed) { x.Findings[0].Item = "x" }, "p-anna", "there is no item"},
		"a finding of no kind":     {Filter, func(_ *story, x *Signed) { x.Findings[0].Verdict = "x" }, "p-anna", "is no finding"},
		"a finding without reason": {Filter, func(_ *story, x *Signed) { x.Findings[0].Reason = " " }, "p-anna", "needs a reason"},
		"without conclusion":       {Filter, func(_ *story, x *Signed) { x.Reason = "" }, "p-anna", "a review needs a reason"},
		"twice":                    {Filter, func(s *story, x *Signed) { s.take(*x, "p-anna") }, "p-anna", "before"},
		"changed after signing":    {Filter, func(s *story, x *Signed) { signedBy(s, x, s.now); x.Findings[0].Verdict = Remove }, "p-anna", "another document, finding, role or reason"},
		"signed before":            {Filter, func(s *story, x *Signed) { signedBy(s, x, s.now.Add(-time.Hour)) }, "p-anna", "before the document"},
		"signed later":             {Filter, func(s *story, x *Signed) { signedBy(s, x, s.now.Add(time.Hour)) }, "p-anna", "still to come"},
	} {
		s := newStory(t)
		s.accept(policy(), "first_start", "")
		s.on("2026-06-01T00:00:00Z")
		x := found(s.file(c.kind), "ciso")
		c.change(s, &x)
		err := s.book.Judge(x, Settings{}, c.by, []string{"ciso", "operator"}, s.mac, s.now)
		var no *Refusal
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &no) || !strings.Contains(no.What, c.want) || no.Hint == "") {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
	alone := newStory(t)
	p := policy()
	p.People = p.People[:1]
	alone.accept(p, "first_start", "")
	if err := alone.book.Judge(found(alone.file(Access), "ciso"), Settings{}, "p-anna", []string{"ciso"}, alone.mac, alone.now); err == nil || !strings.Contains(err.Error(), "their own rights alone") {
		t.Errorf("%v", err)
	}
	if err := base.book.Judge(found(base.file(Filter), "ciso"), Settings{Signed: true}, "p-anna", []string{"ciso"}, base.mac, base.now); err == nil || !strings.Contains(err.Error(), "own keys") {
		t.Errorf("%v", err)
	}
}

// What an auditor checks: the text that was reviewed, the counts, the key.
func TestChecker(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newStory(t)
	type words map[string]any
	s.write(audit.KindKeyEnrolled, words{"how": "bootstrap", "keys": []words{{"key_id": sign.KeyID(pub), "public": sign.PublicText(pub), "person": "p-anna", "expires": at("2030-01-01T00:00:00Z")}}})
	big := policy()
	for i := range 300 { // more than one piece
		big.Regions = append(big.Regions, charter.Region{Key: sovereign.Region{Provider: "x", Code: strings.Repeat("a", i+1)}, Country: "DE", Contract: "Vertrag über alles"})
	}
	s.accept(big, "first_start", "")
	x := found(s.file(Access), "ciso")
	st, err := x.Statement(s.now, strings.Repeat("ab", 16))
	if err != nil {
		t.Fatal(err)
	}
	y, err := sign.SignReview(key, st)
	if err != nil {
		t.Fatal(err)
	}
	x.Signature = &y
	s.take(x, "p-anna")
	if ev := s.take(found(s.file(Filter), "auditor"), "p-ben"); len(ev.DocumentPart) < 2 {
		t.Errorf("%d pieces", len(ev.DocumentPart))
	}
	if len(s.check.Bad) != 0 || s.check.Signed != 1 || s.check.BySession != 1 {
		t.Fatalf("%+v", s.check)
	}
	for name, c := range map[string]struct {
		kind     audit.Kind
		from, to string
		want     string
	}{
		"another item":      {audit.KindReviewText, `roles ciso`, `roles dpo `, "is not the one that was reviewed"},
		"a lost piece":      {audit.KindReviewText, `"piece":1`, `"piece":2`, "is not piece 1"},
		"another count":     {audit.KindReviewSigned, `"remove":0`, `"remove":1`, "others than the entry counts"},
		"another policy":    {audit.KindReviewSigned, `"charter_entry":3`, `"charter_entry":4`, "another one than the entry says"},
		"another person":    {audit.KindReviewSigned, `"by":"p-anna"`, `"by":"p-ben "`, "covers others"},
		"another reason":    {audit.KindReviewSigned, `"reason":"looked at","auth":"signature"`, `"reason":"looked up","auth":"signature"`, "another document, finding, role or reason"},
		"another signature": {audit.KindReviewSigned, `"signature":"` + y.Signature[:4], `"signature":"AAAA`, "does not fit"},
		"no such key":       {audit.KindKeyEnrolled, sign.KeyID(pub), "k-" + strings.Repeat("0", 32), "was not enrolled"},
		"an ended key":      {audit.KindKeyEnrolled, "2030-01-01", "2025-01-01", "had ended"},
		"a key of another":  {audit.KindKeyEnrolled, "p-anna", "p-cleo", "the key of p-cleo"},
	} {
		check, hit := NewChecker(), false
		for _, e := range s.all {
			if e.Kind == c.kind && !hit && strings.Contains(string(e.Body), c.from) {
				e.Body, hit = []byte(strings.Replace(string(e.Body), c.from, c.to, 1)), true
			}
			check.Take(e)
		}
		if !hit || len(check.Bad) == 0 || !strings.Contains(check.Bad[0].What, c.want) {
			t.Errorf("%s: changed %t, %+v; want %q", name, hit, check.Bad, c.want)
		}
	}
}

// FuzzReadSigned: whatever somebody hands in is refused or read, and what is read writes the same file.
func FuzzReadSigned(f *testing.F) {
	f.Add([]byte(`{"cordon":"review signed v1"}`))
	f.Add([]byte(`{"cordon":"review v1","document":{"cordon":"review document v1","review":"filter","items":[],"gone":[]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if x, err := ReadSigned(raw); err == nil {
			_ = x.Check()
		}
		if x, err := ReadFile(raw); err == nil && x.check() != nil {
			t.Error("a file that does not hold was read")
		}
	})
}
