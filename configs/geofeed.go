package configs

import (
	"os"
	"time"

	"github.com/cordonsip/cordon/sovereign/evidence"
	"github.com/cordonsip/cordon/sovereign/evidence/rpki"
)

// RPKI is what signatures of geofeeds are held against: files in DER, as repositories have them, or in PEM. Nothing is fetched.
type RPKI struct {
	// Trust anchors: the certificates of registries that sign themselves.
	Anchors []string `yaml:"anchors"`
	// Certificates between an anchor and the signer.
	Certificates []string `yaml:"certificates,omitempty"`
	// Revocation lists. None: nothing is held against any; otherwise each issuer on the way must have one. A signature is good no longer than the newest list of each.
	Revocations []string `yaml:"revocations,omitempty"`
}

// at is r with other paths.
func (r *RPKI) at(path func(string) string) *RPKI {
	if r == nil {
		return nil
	}
	each := func(files []string) (out []string) {
		for _, f := range files {
			out = append(out, path(f))
		}
		return out
	}
	return &RPKI{Anchors: each(r.Anchors), Certificates: each(r.Certificates), Revocations: each(r.Revocations)}
}

// geofeed takes a geofeed in: an unsigned one, or one whose signature is verified. What is wrong with a signature refuses the feed whole: it never counts as unsigned.
func (b *builder) geofeed(e *EvidencePart, f Feed, at string, data []byte, digest string) {
	var s *rpki.Signature
	if f.Kind == string(evidence.GeofeedSigned) {
		text, sig := b.signature(f, at, data)
		if sig == nil {
			return
		}
		data, s = text, sig
	}
	t, signed, wrong, err := evidence.ParseGeofeed(data)
	if signed && s == nil {
		b.warn(at+".file", "kind: geofeed_signed and its rpki, so that it can refuse; else it alarms", "it counts as an unsigned geofeed: its signature (RFC 9632) is not verified")
	}
	if err == nil && s != nil {
		if err = t.Sign(s.At, s.Until, s.Covers); err != nil {
			b.fail(at+".file", "fetch the feed anew, or ask who publishes it", "%v", err)
			return
		}
	}
	b.prefixTable(e, at+".file", f.File, digest, t, wrong, err)
	if err == nil && s != nil && t.Expired(time.Now()) {
		b.warn(at+".file", "fetch the feed and the revocation lists anew", "its signature expired on %s: it supports nothing, and what it contradicts stays so", s.Until.UTC().Format(time.DateOnly))
	}
}

// signature verifies that of a feed and gives the text that it covers; nil when it does not hold, which was said.
func (b *builder) signature(f Feed, at string, data []byte) ([]byte, *rpki.Signature) {
	trust, ok := b.trust(f.RPKI, at+".rpki")
	if !ok {
		return nil, nil
	}
	feed, err := rpki.Split(data)
	switch {
	case err != nil:
		b.fail(at+".file", "fetch the feed anew", "%v", err)
		return nil, nil
	case feed == nil:
		b.fail(at+".file", "fetch the feed anew; one that nobody signs is of kind: geofeed", "it has no signature (RFC 9632)")
		return nil, nil
	}
	s, err := trust.Verify(feed)
	if err != nil {
		b.fail(at+".file", "fetch the feed and the files of the RPKI anew; if it stays, ask who publishes the feed", "%v", err)
		return nil, nil
	}
	if now := time.Now(); now.Before(s.From) {
		b.fail(at+".file", "look at this machine's clock", "the signature is not good before %s", s.From.UTC().Format(time.RFC3339))
		return nil, nil
	}
	return feed.Text, s
}

// trust reads the files of the RPKI.
func (b *builder) trust(r *RPKI, at string) (*rpki.Trust, bool) {
	if r == nil || len(r.Anchors) == 0 {
		b.fail(at+".anchors", "name the files with the certificates of the registries, e.g. ripe-ncc-ta.cer of a validator's cache", "a signature needs a trust anchor")
		return nil, false
	}
	t, good := &rpki.Trust{}, true
	for _, list := range []struct {
		at    string
		files []string
		take  func([]byte) error
	}{{at + ".anchors", r.Anchors, t.Anchors}, {at + ".certificates", r.Certificates, t.Certificates}, {at + ".revocations", r.Revocations, t.Revocations}} {
		for _, file := range list.files {
			data, err := os.ReadFile(b.path(file))
			if err == nil {
				err = list.take(data)
			}
			if err != nil {
				b.fail(list.at, "a file of the RPKI in DER or PEM, which is readable", "%s: %v", file, err)
				good = false
			}
		}
	}
	return t, good
}
