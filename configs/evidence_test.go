package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign/evidence"
)

const sights = `{"form":"cordon.sights/1","node":"edge-2","sights":[{"addr":"192.0.2.1","sight":{"node":"edge-2","at":{"lat":1,"lon":2,"km":0},"fastest_ns":[1,2,3],"samples":3,"last":"2026-11-21T12:00:00Z"}}]}`

// evidenceFiles writes the files that the tests name.
func evidenceFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"aws.json": `{"prefixes":[{"ip_prefix":"192.0.2.0/24","network_border_group":"eu-central-1"}]}`,
		"feed.csv": "# ours\n192.0.2.0/24,DE\nbad line\n", "signed.csv": "192.0.2.0/24,DE\n# RPKI Signature: 192.0.2.0 - 192.0.2.255\n", "empty.csv": "# nothing\n",
		"ripe": "ripencc|DE|ipv4|192.0.2.0|256|20100101|allocated|x\n", "b.sights": sights, "own.sights": strings.ReplaceAll(sights, "edge-2", "edge-1"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEvidence(t *testing.T) {
	dir := evidenceFiles(t)
	sum := sha256.Sum256([]byte("# ours\n192.0.2.0/24,DE\nbad line\n"))
	digest := hex.EncodeToString(sum[:])
	text := strings.Replace(base, "state_dir: state", "state_dir: state, position: {lat: 50.1, lon: 8.7}", 1) + `regions:
  - {key: bank:fra-1, country: DE, contract: c, position: {lat: 50.2, lon: 8.8}}
evidence:
  feeds: [{kind: provider_feed, provider: aws, file: aws.json}, {kind: geofeed, file: feed.csv, digest: "` + strings.ToUpper(digest) + `"}, {kind: geofeed, file: signed.csv}]
  rir: [ripe]
  sights: [b.sights]
  on_contradiction: {rank_3_4: hold}
`
	c, err := Parse(filepath.Join(dir, "c.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Evidence
	if *e.At != (evidence.Spot{Lat: 50.1, Lon: 8.7}) || len(e.Tables) != 4 || e.Tables[1].Digest != digest || !e.HoldWeak || len(e.Statements) != 1 || e.Tables[3].Kind != evidence.RIR {
		t.Errorf("%+v", e)
	}
	if s := e.Spot(c.Catalogue, c.Catalogue.Nearest("bank:fra-1")[0]); s == nil || s.KM != 50 || s.Lat != 50.2 {
		t.Errorf("a region of ours: %+v", s)
	}
	if s := e.Spot(c.Catalogue, c.Policy.Home); s == nil || s.KM != 80 {
		t.Errorf("a region of the catalogue: %+v", s)
	}
	if got := c.Warnings.Error(); !strings.Contains(got, "is not verified") || !strings.Contains(got, "line 3") || len(c.Warnings) != 2 {
		t.Errorf("warnings: %s", got)
	}
	if plain, err := Parse("base.yaml", []byte(base)); err != nil || plain.Evidence.At != nil || plain.Evidence.HoldWeak {
		t.Errorf("without evidence: %+v, %v", plain.Evidence, err)
	}
}

func TestMistakesOfEvidence(t *testing.T) {
	dir := evidenceFiles(t)
	node := func(s string) string { return strings.Replace(base, "state_dir: state", "state_dir: state, "+s, 1) }
	for text, want := range map[string]string{
		node("position: {lat: 91, lon: 0}"):                                                 "node.position: is nowhere on the map",
		node("position: {lat: .nan, lon: 0}"):                                               "node.position: is nowhere on the map",
		node("region: aws:eu-central-9"):                                                    "node.region: unknown region",
		node("region: aws:us-west-1"):                                                       "node.region: nobody knows where",
		node("region: aws:eu-central-1, position: {lat: 1, lon: 1}"):                        "node.region: both position and region",
		base + "evidence: {feeds: [{kind: mmdb, file: x}]}":                                 "no such file",
		base + "evidence: {feeds: [{kind: mmdb, file: feed.csv}]}":                          "no whole database of the MaxMind format",
		base + "evidence: {feeds: [{kind: mmdb, provider: aws, file: feed.csv}]}":           "a mmdb is of no provider",
		base + "evidence: {feeds: [{kind: geofeed_signed, file: feed.csv}]}":                "rpki.anchors: a signature needs a trust anchor",
		base + "evidence: {feeds: [{kind: geofeed, file: feed.csv, rpki: {anchors: [x]}}]}": "no signature is verified of a geofeed",
		base + "evidence: {feeds: [{kind: rir, file: ripe}]}":                               "stand under evidence.rir",
		base + "evidence: {feeds: [{kind: map, file: x}]}":                                  "is no kind of feed",
		base + "evidence: {feeds: [{kind: provider_feed, file: aws.json}]}":                 "is no provider whose feed is read",
		base + "evidence: {feeds: [{kind: provider_feed, provider: gcp, file: aws.json}]}":  "feed of gcp",
		base + "evidence: {feeds: [{kind: geofeed, provider: aws, file: feed.csv}]}":        "a geofeed is of no provider",
		base + "evidence: {feeds: [{kind: geofeed, file: none.csv}]}":                       "no such file",
		base + "evidence: {feeds: [{kind: geofeed}]}":                                       "evidence.feeds[0].file",
		base + "evidence: {feeds: [{kind: geofeed, file: empty.csv}]}":                      "no line of it counts",
		base + "evidence: {feeds: [{kind: geofeed, file: feed.csv, digest: abc}]}":          "the file has the SHA-256",
		base + "evidence: {rir: [feed.csv]}":                                                "no line of it counts",
		base + "evidence: {sights: [own.sights]}":                                           "which this one is",
		base + "evidence: {sights: [b.sights, b.sights]}":                                   "one of node \"edge-2\" already",
		base + "evidence: {sights: [feed.csv]}":                                             "evidence.sights[0]",
		base + "evidence: {on_contradiction: {rank_3_4: deny}}":                             "evidence.on_contradiction.rank_3_4",
	} {
		if _, err := Parse(filepath.Join(dir, "c.yaml"), []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", strings.TrimPrefix(text, base), err)
		}
	}
}

// signedFeed is a feed of the vectors of sovereign/evidence/rpki, with what they were signed under.
func signedFeed(t *testing.T, name, more string) (*Config, error) {
	t.Helper()
	at, err := filepath.Abs("../sovereign/evidence/rpki/testdata")
	if err != nil {
		t.Fatal(err)
	}
	return Parse(filepath.Join(at, "c.yaml"), []byte(base+"evidence: {feeds: [{kind: geofeed_signed, file: "+name+", rpki: {anchors: [anchor.cer], certificates: [between.pem, holder.cer]"+more+"}}]}"))
}

// A signature that holds makes a feed one of rank 1; one that does not refuses it whole, and it never counts as unsigned.
func TestSignedGeofeeds(t *testing.T) {
	lists := ", revocations: [anchor.crl, registry.crl, holder.crl]"
	c, err := signedFeed(t, "good.csv", lists)
	if err != nil || len(c.Warnings) > 0 {
		t.Fatalf("%v, %v", err, c)
	}
	now := time.Now()
	if tables := c.Evidence.Tables; len(tables) != 1 || tables[0].Kind != evidence.GeofeedSigned || tables[0].Rows() != 4 || tables[0].Expired(now) || tables[0].At.IsZero() || len(tables[0].Digest) != 64 {
		t.Errorf("%+v", tables)
	}
	c, err = signedFeed(t, "past.csv", lists)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings.Error(), "its signature expired on 2026-06-01") || !c.Evidence.Tables[0].Expired(now) {
		t.Errorf("one that expired: %v, %v", err, c)
	}
	for what, x := range map[string]struct{ file, more, want string }{
		"revoked":               {"struck.csv", lists, "was revoked at"},
		"wider than its signer": {"wide.csv", lists, "192.0.2.0/23 is not the signer's to speak of"},
		"another's":             {"unknown.csv", lists, "nobody that is trusted issued"},
		"unsigned":              {"plain.csv", lists, "no such file"},
		"no list":               {"good.csv", ", revocations: [none.crl]", "rpki.revocations: none.crl"},
		"no certificate":        {"good.csv", ", revocations: [good.csv]", "does not read"},
		"a part of the lists":   {"good.csv", ", revocations: [holder.crl]", "none of them is by"},
	} {
		if c, err := signedFeed(t, x.file, x.more); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, %v", what, err, c)
		}
	}
	dir := evidenceFiles(t)
	anchor, err := os.ReadFile("../sovereign/evidence/rpki/testdata/anchor.cer")
	if err != nil || os.WriteFile(filepath.Join(dir, "anchor.cer"), anchor, 0o600) != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"feed.csv": "it has no signature", "signed.csv": "was cut off"} {
		if _, err := Parse(filepath.Join(dir, "c.yaml"), []byte(base+"evidence: {feeds: [{kind: geofeed_signed, file: "+file+", rpki: {anchors: [anchor.cer]}}]}")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
