package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
	"github.com/cordonsip/cordon/sovereign/evidence/mmdb"
)

// Position is a place on the map.
type Position struct {
	// Degrees north of the equator; negative: south.
	Lat float64 `yaml:"lat"`
	// Degrees east of Greenwich; negative: west.
	Lon float64 `yaml:"lon"`
	// How far from there it may be, in km; default 0 for a node, 50 for a region.
	Within float64 `yaml:"within_km,omitempty"`
}

// Evidence is what else speaks for or against declared places. It can only take away: nothing here permits an address.
type Evidence struct {
	// Files with address ranges, read at the start and at a reload.
	Feeds []Feed `yaml:"feeds,omitempty"`
	// Delegated-extended files of registries: where the holder of a block is registered.
	RIR []string `yaml:"rir,omitempty"`
	// What other nodes measured: files that `cordon evidence export` wrote there.
	Sights []string `yaml:"sights,omitempty"`
	// What happens where evidence speaks against a declaration. Feeds of providers and round trips always hold; weaker evidence as is said here.
	OnContradiction OnContradiction `yaml:"on_contradiction,omitempty"`
}

// Feed is one file of address ranges.
type Feed struct {
	// provider_feed (what a cloud provider publishes as JSON), geofeed (CSV, RFC 8805), geofeed_signed (one whose signature, RFC 9632, is verified) or mmdb (a database in
	// the MaxMind format, which you bring).
	Kind string `yaml:"kind"`
	// The file.
	File string `yaml:"file"`
	// Whose a provider_feed is: aws (ip-ranges.json), azure (service tags) or gcp (cloud.json).
	Provider string `yaml:"provider,omitempty"`
	// SHA-256 that the file must have, in hex; default: any.
	Digest string `yaml:"digest,omitempty"`
	// What the signature of a geofeed_signed is held against.
	RPKI *RPKI `yaml:"rpki,omitempty"`
}

// OnContradiction is what weak evidence does.
type OnContradiction struct {
	// Unsigned geofeeds, registries and databases: alert (default) or hold, which people may open by a grant.
	Weak string `yaml:"rank_3_4,omitempty"`
}

// EvidencePart is what speaks for or against declared places.
type EvidencePart struct {
	At         *evidence.Spot // where this node is; nil: nobody said, and round trips prove nothing
	Tables     []*evidence.Table
	Statements []StatementPart
	HoldWeak   bool
	Spots      map[sovereign.Region]evidence.Spot // of regions of the operator's own
}

// StatementPart is what another node measured.
type StatementPart struct {
	evidence.Statement
	Digest string
}

// Spot is where a region is on the map, or nil.
func (e *EvidencePart) Spot(c *sovereign.Catalogue, r sovereign.Region) *evidence.Spot {
	if s, ok := e.Spots[r]; ok {
		return &s
	}
	f, ok := c.Lookup(r)
	if !ok {
		return nil
	}
	return evidence.SpotOf(f.City, string(f.Country))
}

func (b *builder) evidence(c *Config) {
	e := &c.Evidence
	e.Spots = map[sovereign.Region]evidence.Spot{}
	for i, r := range b.doc.file.Regions {
		at := fmt.Sprintf("regions[%d].position", i)
		if key, err := sovereign.ParseRegion(r.Key); err == nil && r.Position != nil {
			e.Spots[key] = b.spot(at, *r.Position, 50)
		}
	}
	b.nodePosition(c)
	f := b.doc.file.Evidence
	if f == nil {
		return
	}
	for i, feed := range f.Feeds {
		b.feed(e, feed, fmt.Sprintf("evidence.feeds[%d]", i))
	}
	for i, file := range f.RIR {
		at := fmt.Sprintf("evidence.rir[%d]", i)
		if data, digest, ok := b.evidenceFile(at, file); ok {
			t, wrong, err := evidence.ParseRIR(data)
			b.prefixTable(e, at, file, digest, t, wrong, err)
		}
	}
	for i, file := range f.Sights {
		b.statement(e, file, fmt.Sprintf("evidence.sights[%d]", i))
	}
	e.HoldWeak = b.oneOf("evidence.on_contradiction.rank_3_4", f.OnContradiction.Weak, "alert", "hold") == "hold"
	if len(e.Statements) > 0 && e.At == nil {
		b.warn("evidence.sights", "add node.position, or node.region", "this node does not know where it is, so what others measured is held against declared places alone")
	}
}

// nodePosition reads where the node is. Nothing is taken for granted: a node that is not where the home region is would find every place contradicted.
func (b *builder) nodePosition(c *Config) {
	n := b.doc.file.Node
	switch {
	case n.Position != nil && n.Region != "":
		b.fail("node.region", "keep node.position, which is exact, or node.region", "both position and region are set")
	case n.Position != nil:
		s := b.spot("node.position", *n.Position, 0)
		c.Evidence.At = &s
	case n.Region != "":
		r := b.region("node.region", n.Region, true)
		if c.Evidence.At = c.Evidence.Spot(b.regions, r); c.Evidence.At == nil {
			b.fail("node.region", "write node.position: {lat: .., lon: ..} instead", "nobody knows where %s is on the map", n.Region)
		}
	}
}

func (b *builder) spot(at string, p Position, within float64) evidence.Spot {
	s := evidence.Spot{Lat: p.Lat, Lon: p.Lon, KM: within}
	if p.Within != 0 {
		s.KM = p.Within
	}
	if !s.Valid() {
		b.fail(at, "degrees, e.g. {lat: 50.1, lon: 8.7}: lat from -90 to 90, lon from -180 to 180; within_km from 0 to 20000", "is nowhere on the map")
	}
	return s
}

// evidenceFile reads one file of evidence and gives its digest.
func (b *builder) evidenceFile(at, file string) (data []byte, digest string, ok bool) {
	if file == "" {
		b.fail(at, "name the file", "is missing")
		return nil, "", false
	}
	data, err := os.ReadFile(b.path(file))
	if err != nil {
		b.fail(at, "the file must be readable", "%v", err)
		return nil, "", false
	}
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:]), true
}

func (b *builder) feed(e *EvidencePart, f Feed, at string) {
	if f.Kind == string(evidence.RIR) {
		b.fail(at+".kind", "move it there", "files of registries stand under evidence.rir")
		return
	}
	if kinds := []evidence.Kind{evidence.ProviderFeed, evidence.Geofeed, evidence.GeofeedSigned, evidence.MMDB}; !slices.Contains(kinds, evidence.Kind(f.Kind)) {
		b.fail(at+".kind", "provider_feed, geofeed, geofeed_signed or mmdb", "%.40q is no kind of feed", f.Kind)
		return
	}
	provided := f.Kind == string(evidence.ProviderFeed)
	switch {
	case provided && !slices.Contains(evidence.Providers(), f.Provider):
		b.fail(at+".provider", "one of "+strings.Join(evidence.Providers(), ", "), "%.40q is no provider whose feed is read", f.Provider)
		return
	case !provided && f.Provider != "":
		b.fail(at+".provider", "leave it out", "a %s is of no provider", f.Kind)
	case f.RPKI != nil && f.Kind != string(evidence.GeofeedSigned):
		b.fail(at+".rpki", "kind: geofeed_signed, or leave it out", "no signature is verified of a %s", f.Kind)
		return
	}
	data, digest, ok := b.evidenceFile(at+".file", f.File)
	if !ok {
		return
	}
	if f.Digest != "" && !strings.EqualFold(f.Digest, digest) {
		b.fail(at+".digest", "fetch the file that was meant, or write the digest of this one once it was looked at", "the file has the SHA-256 %s", digest)
		return
	}
	if provided {
		t, err := evidence.ParseProvider(f.Provider, data)
		b.prefixTable(e, at+".file", f.File, digest, t, nil, err)
		return
	}
	if f.Kind == string(evidence.MMDB) {
		b.database(e, f, at+".file", data, digest)
		return
	}
	b.geofeed(e, f, at, data, digest)
}

// staleDatabase is the age from which a database is told of: licences of such files want old copies destroyed by then, and addresses have moved.
const staleDatabase = 30 * 24 * time.Hour

func (b *builder) database(e *EvidencePart, f Feed, at string, data []byte, digest string) {
	t, err := mmdb.Parse(data)
	b.prefixTable(e, at, f.File, digest, t, nil, err)
	if err != nil {
		return
	}
	if age := time.Since(t.At); age > staleDatabase {
		b.warn(at, "fetch a newer one, and mind what its licence says of old copies", "the database is %d days old", int(age.Hours()/24))
	}
}

// prefixTable takes a parsed file in. Lines that are wrong are told of; a file of which nothing counts is a mistake.
func (b *builder) prefixTable(e *EvidencePart, at, file, digest string, t *evidence.Table, wrong []evidence.Wrong, err error) {
	switch {
	case err != nil:
		b.fail(at, "it must be the file as it was published", "%v", err)
		return
	case t.Rows() == 0:
		b.fail(at, "it must be the file as it was published", "no line of it counts")
		return
	case len(wrong) > 0:
		b.warn(at, "the other lines count", "%d lines or more do not count: %s", len(wrong), wrong[0])
	}
	t.Source, t.Digest = filepath.Base(file), digest
	if info, err := os.Stat(b.path(file)); err == nil && t.At.IsZero() {
		t.At = info.ModTime().UTC()
	}
	e.Tables = append(e.Tables, t)
}

func (b *builder) statement(e *EvidencePart, file, at string) {
	data, digest, ok := b.evidenceFile(at, file)
	if !ok {
		return
	}
	s, err := evidence.ParseStatement(data)
	switch {
	case err != nil:
		b.fail(at, "what `cordon evidence export` wrote on another node", "%v", err)
		return
	case s.Node == b.doc.file.Node.Name:
		b.fail(at, "name the files of other nodes", "it is of node %q, which this one is", s.Node)
		return
	case !b.held && slices.ContainsFunc(e.Statements, func(o StatementPart) bool { return o.Node == s.Node }):
		b.fail(at, "one file for each node: the newest", "there is one of node %q already", s.Node)
		return
	}
	e.Statements = append(e.Statements, StatementPart{s, digest})
}
