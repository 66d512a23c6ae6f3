package sovereign

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cordonsip/cordon/internal/octets"
)

// A snapshot travels from the process that has the configuration to one that has a fence of its own. The receiver builds it anew with the code that builds every
// snapshot, and takes it only if it comes out the same: the digests of policy and facts, the digest of where each prefix lies, and every byte when the copy is
// written again. The fact tables travel with it, packed (some 20 KB, packed once per process), because the receiver may be a version of the program with other
// tables; one that has the same unpacks nothing. What changes often, grants and suspensions, stands in front of all that, so that it can change alone: see Next.
//
// Suspensions bring their signatures, because the digest of the facts covers them, and are not verified again: the sender did, and the receiver has to believe it the
// allow-list, the parties and the grants, which nobody signs. Whoever could forge a suspension here could forge those, and a suspension only makes stricter.

// MaxSnapshot is the longest form of a snapshot in bytes: room for half a million prefixes.
const MaxSnapshot = 64 << 20

const (
	snapshotForm = "cordon.snapshot\x05" // begins every snapshot that travels; the last byte is the version
	bearingForm  = "cordon.snapshot\x06" // the same where evidence contradicts a place: an earlier version, which would not know of it, refuses it
	bearingMark  = 1                     // what that adds to the version
	boundedMark  = 2                     // what another policy that has a say adds to it, for the same reason
	maxTable     = 8 << 20               // of a fact table, unpacked
	maxOwn       = 1 << 16               // of Catalogue.With one after the other
)

// MarshalBinary gives s in the form that DecodeSnapshot reads.
func (s *Snapshot) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// AppendBinary appends s in the form that DecodeSnapshot reads. It fails, and gives b back, for a time outside of the years 1 to 9999 and above MaxSnapshot.
func (s *Snapshot) AppendBinary(b []byte) ([]byte, error) {
	if s == nil {
		return b, errors.New("sovereign: snapshot: there is none to write")
	}
	w := &octets.Writer{Bytes: b}
	s.writeHead(w)
	s.writeGround(w, s.cfg.Law.packed(), s.cfg.Catalogue.table.packed())
	if err := w.Err(); err != nil {
		return b, fmt.Errorf("sovereign: snapshot: %w", err)
	}
	if n := len(w.Bytes) - len(b) + sha256.Size; n > MaxSnapshot {
		return b, fmt.Errorf("sovereign: snapshot: %d bytes are more than the %d that may travel: declare fewer, larger prefixes", n, MaxSnapshot)
	}
	sum := sha256.Sum256(w.Bytes[len(b):])
	w.Raw(sum[:])
	return w.Bytes, nil
}

// writeHead writes the name of the form and what changes while a node runs.
func (s *Snapshot) writeHead(w *octets.Writer) {
	form := snapshotForm
	if len(s.cfg.Contradicted) > 0 {
		form = bearingForm
	}
	w.Raw([]byte(form))
	if s.cfg.Within != nil {
		w.Bytes[len(w.Bytes)-1] += boundedMark
	}
	if len(s.cfg.Contradicted) > 0 {
		octets.Put(w, s.cfg.Contradicted, writeContradiction)
	}
	w.Uint(s.cfg.Generation)
	w.Text(s.factsDigest)
	octets.Put(w, s.cfg.Suspended, writeSuspension)
	octets.Put(w, s.cfg.Grants, writeGrant)
	octets.Put(w, common(s.cfg.Leaves), writeLeave)
	octets.Put(w, s.cfg.Severed, writeSever)
}

// writeGround writes the rest, with the fact tables as they were packed.
func (s *Snapshot) writeGround(w *octets.Writer, law, regions []byte) {
	w.Text(s.policyDigest)
	w.Text(s.cfg.Atlas.digest())
	table{s.cfg.Law.digest, law}.write(w)
	table{s.cfg.Catalogue.table.digest, regions}.write(w)
	s.writePolicy(w)
	if o := s.cfg.Within; o != nil { // under the same law, and with the same table of regions
		w.Text(o.policyDigest)
		w.Text(o.cfg.Atlas.digest())
		o.writePolicy(w)
	}
}

// writePolicy writes what an operator declares.
func (s *Snapshot) writePolicy(w *octets.Writer) {
	octets.Put(w, s.cfg.Catalogue.own, func(w *octets.Writer, rows []RegionFact) { octets.Put(w, rows, writeRegionFact) })
	w.Text(string(s.cfg.Policy.Preset))
	writeRegion(w, s.cfg.Policy.Home)
	octets.Put(w, s.cfg.Policy.Allow, writeRegion)
	octets.Put(w, s.cfg.Parties, writeParty)
	w.Bool(s.cfg.Atlas != nil)
	if s.cfg.Atlas != nil {
		octets.Put(w, s.cfg.Atlas.declarations, writeDeclaration)
	}
}

// DecodeSnapshot reads what AppendBinary wrote and keeps nothing of b. The snapshot rules as the one that was written does; anything else is an error, and whoever
// gets one keeps the snapshot that is in force.
func DecodeSnapshot(b []byte) (*Snapshot, error) { return (*Snapshot)(nil).Next(b) }

// Next is DecodeSnapshot for whoever has the snapshot before, which may be nil: where b brings the same policy, region tables and prefixes, they are shared and not
// built again, so that a revocation takes no longer for ten thousand prefixes than for ten. It gives what DecodeSnapshot gives; which one came before changes nothing
// else, and an older one than s is read as well.
func (s *Snapshot) Next(b []byte) (*Snapshot, error) {
	next, err := s.next(b)
	if err != nil {
		return nil, fmt.Errorf("sovereign: snapshot: %w", err)
	}
	return next, nil
}

func (s *Snapshot) next(b []byte) (*Snapshot, error) {
	body, err := openForm(b)
	if err != nil {
		return nil, err
	}
	r := octets.NewReader(body[len(snapshotForm):])
	more := body[len(snapshotForm)-1] - snapshotForm[len(snapshotForm)-1]
	t := readHead(r, more&bearingMark != 0)
	t.bounded = more&boundedMark != 0
	ground := r.Rest()
	sum := sha256.Sum256(ground)
	known := s != nil && s.ground == sum && (s.cfg.Within != nil) == t.bounded && r.Err() == nil
	var next *Snapshot
	if known {
		next, err = t.upon(s)
	} else {
		t.readGround(r)
		if err := r.End(); err != nil {
			return nil, err
		}
		next, err = t.snapshot()
	}
	if err != nil {
		return nil, err
	}
	next.ground = sum
	again := &octets.Writer{}
	if next.writeHead(again); known {
		body = body[:len(body)-len(ground)]
	} else {
		next.writeGround(again, t.law.packed, t.regions.packed)
	}
	if again.Err() != nil || !bytes.Equal(again.Bytes, body) {
		return nil, errors.New("it is not written as this program writes it")
	}
	return next, nil
}

// openForm gives what stands before the checksum of a whole form.
func openForm(b []byte) ([]byte, error) {
	const name = len(snapshotForm) - 1
	if len(b) > MaxSnapshot {
		return nil, fmt.Errorf("%d bytes are more than the %d that may travel", len(b), MaxSnapshot)
	}
	body := b[:max(0, len(b)-sha256.Size)]
	switch sum := sha256.Sum256(body); {
	case len(body) <= name || string(body[:name]) != snapshotForm[:name]:
		return nil, errors.New("it does not begin as one")
	case body[name] < snapshotForm[name] || body[name] > snapshotForm[name]+bearingMark+boundedMark:
		return nil, fmt.Errorf("it has form %d, and this program reads forms %d to %d: run both processes from one version", body[name], snapshotForm[name], snapshotForm[name]+bearingMark+boundedMark)
	case !bytes.Equal(sum[:], b[len(body):]):
		return nil, errors.New("its checksum does not fit: it is cut off, or was changed on the way")
	}
	return body, nil
}

// travelled is a snapshot as it came, before anything of it is believed.
type travelled struct {
	generation   uint64
	factsDigest  string
	law, regions table
	suspended    []Suspension
	grants       []Grant
	contradicted []Contradiction
	leaves       []Leave
	severed      []Sever
	bounded      bool // another policy has a say, too
	ruled
	within ruled
}

// ruled is what an operator declares, as it came.
type ruled struct {
	policyDigest, placesDigest string
	own                        [][]RegionFact
	policy                     Policy
	parties                    []Party
	placed                     bool // there is an atlas
	declarations               []Declaration
}

func readHead(r *octets.Reader, bearing bool) *travelled {
	t := &travelled{}
	if bearing {
		t.contradicted = octets.List(r, readContradiction)
	}
	t.generation, t.factsDigest, t.suspended, t.grants = r.Uint(), r.Text(), octets.List(r, readSuspension), octets.List(r, readGrant)
	t.leaves, t.severed = octets.List(r, readLeave), octets.List(r, readSever)
	return t
}

func (t *travelled) readGround(r *octets.Reader) {
	t.policyDigest, t.placesDigest, t.law, t.regions = r.Text(), r.Text(), readTable(r), readTable(r)
	t.readPolicy(r)
	if t.bounded {
		t.within.policyDigest, t.within.placesDigest = r.Text(), r.Text()
		t.within.readPolicy(r)
	}
}

func (t *ruled) readPolicy(r *octets.Reader) {
	t.own = octets.List(r, func(r *octets.Reader) []RegionFact { return octets.List(r, readRegionFact) })
	t.policy = Policy{Preset: Preset(r.Text()), Home: readRegion(r), Allow: octets.List(r, readRegion)}
	t.parties = octets.List(r, readParty)
	if t.placed = r.Bool(); t.placed {
		t.declarations = octets.List(r, readDeclaration)
	}
}

// upon builds what came on s, which rests on the same ground.
func (t *travelled) upon(s *Snapshot) (*Snapshot, error) {
	next := s.WithGrants(t.grants).WithStrikes(t.suspended, t.leaves, t.severed).Bearing(t.contradicted)
	if next.cfg.Generation = t.generation; next.factsDigest != t.factsDigest {
		return nil, t.otherFacts(next)
	}
	return next.bounded(), nil
}

// snapshot builds what came, and holds it against the digests that came with it.
func (t *travelled) snapshot() (*Snapshot, error) {
	l, err := t.lawTable()
	if err != nil {
		return nil, err
	}
	var within *Snapshot
	if t.bounded {
		if within, err = t.alike(l, &t.within, nil); err != nil {
			return nil, err
		}
	}
	s, err := t.alike(l, &t.ruled, within)
	if err == nil && s.factsDigest != t.factsDigest {
		err = t.otherFacts(s)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (t *travelled) otherFacts(s *Snapshot) error {
	return fmt.Errorf("its facts have the digest %s here, and had %s: the processes differ in how they read them", s.factsDigest, t.factsDigest)
}

// alike builds one of the policies that came, and holds it against its digests.
func (t *travelled) alike(l *Law, p *ruled, within *Snapshot) (*Snapshot, error) {
	s, err := t.build(l, p, within)
	switch {
	case err != nil:
		return nil, err
	case s.policyDigest != p.policyDigest:
		return nil, fmt.Errorf("its policy has the digest %s here, and had %s: the processes differ in how they read it", s.policyDigest, p.policyDigest)
	case s.cfg.Atlas.digest() != p.placesDigest:
		return nil, errors.New("its prefixes lie elsewhere here: its atlas was made with another region table, or the processes differ in how they read it")
	}
	return s, nil
}

func (t *travelled) build(l *Law, p *ruled, within *Snapshot) (*Snapshot, error) {
	c, err := t.catalogue(l, p.own)
	if err != nil {
		return nil, err
	}
	var atlas *Atlas
	if p.placed {
		if atlas, err = newAtlas(c, l, p.declarations); err != nil {
			return nil, err
		}
	}
	cfg := SnapshotConfig{
		Law: l, Catalogue: c, Policy: p.policy, Atlas: atlas, Parties: p.parties, Suspended: t.suspended, Grants: t.grants, Leaves: t.leaves, Severed: t.severed, Generation: t.generation, Within: within,
	}
	if p == &t.ruled {
		cfg.Contradicted = t.contradicted
	}
	return NewSnapshot(cfg)
}

func (t *travelled) lawTable() (*Law, error) {
	if t.law.digest == Shipped().digest {
		return Shipped(), nil
	}
	text, err := t.law.text()
	if err != nil {
		return nil, err
	}
	l, err := ParseLaw(text)
	if err == nil && l.digest != t.law.digest {
		err = fmt.Errorf("its law table has the digest %s, and not %s", l.digest, t.law.digest)
	}
	return l, err
}

func (t *travelled) catalogue(l *Law, own [][]RegionFact) (c *Catalogue, err error) {
	if c = ShippedRegions(); t.regions.digest != c.digest {
		text, err := t.regions.text()
		if err != nil {
			return nil, err
		}
		if c, err = ParseCatalogue(text, l); err != nil {
			return nil, err
		}
		if c.digest != t.regions.digest {
			return nil, fmt.Errorf("its region table has the digest %s, and not %s", c.digest, t.regions.digest)
		}
	}
	if len(own) == 0 {
		return c, nil
	}
	if len(own) > maxOwn {
		return nil, fmt.Errorf("its region table grew %d times; %d are allowed", len(own), maxOwn)
	}
	c = c.clone(len(own))
	for _, rows := range own {
		if err := c.add(l, rows); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// table is a fact table: the digest of its canonical text, and the text packed.
type table struct {
	digest string
	packed []byte
}

func (t table) write(w *octets.Writer) {
	w.Text(t.digest)
	w.Octets(t.packed)
}

func readTable(r *octets.Reader) table { return table{r.Text(), r.Octets()} }

func (t table) text() ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(t.packed)), maxTable+1))
	if err != nil {
		return nil, fmt.Errorf("its fact table: %w", err)
	}
	if len(text) > maxTable {
		return nil, fmt.Errorf("its fact table has more than %d bytes", maxTable)
	}
	return text, nil
}

// pack packs a text when it is first wanted.
func pack(text []byte) func() []byte {
	return sync.OnceValue(func() []byte {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is a good one, and a buffer takes everything
		_, _ = w.Write(text)
		_ = w.Close()
		return b.Bytes()
	})
}

// digest is the SHA-256 (lower-case hex) of where each prefix lies. The policy's digest covers what was declared; this covers what it was taken for, which rests on
// the region table that the atlas was made with.
func (a *Atlas) digest() string {
	h := sha256.New()
	if a != nil {
		w := &octets.Writer{}
		for _, n := range slices.Concat(a.v4, a.v6) {
			w.Bytes = n.prefix.AppendTo(w.Bytes[:0])
			w.Byte(0)
			octets.Put(w, n.entries, func(w *octets.Writer, e entry) {
				writeRegion(w, e.region)
				octets.Put(w, e.countries, writeCountry)
				w.Text(e.operator)
				w.Text(e.contract)
				w.Time(e.from)
				w.Time(e.until)
			})
			h.Write(w.Bytes)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
