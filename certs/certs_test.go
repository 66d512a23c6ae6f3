package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	day = 24 * time.Hour
)

type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func authority(t *testing.T, from, to time.Time) issuer {
	t.Helper()
	c, key := make1(t, nil, "authority", from, to, true)
	return issuer{c, key}
}

var serial int64

func make1(t *testing.T, by *issuer, cn string, from, to time.Time, ca bool, names ...string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: cn}, NotBefore: from, NotAfter: to, IsCA: ca, BasicConstraintsValid: true, DNSNames: names,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	parent, signer := tpl, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func pair(t *testing.T, by *issuer, from, to time.Time, names ...string) *tls.Certificate {
	t.Helper()
	c, key := make1(t, by, "leaf", from, to, false, names...)
	p := &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
	if by != nil {
		p.Certificate = append(p.Certificate, by.cert.Raw)
	}
	return p
}

func TestNext(t *testing.T) {
	ca, other := authority(t, now.Add(-day), now.Add(1000*day)), authority(t, now.Add(-day), now.Add(1000*day))
	old := authority(t, now.Add(-10*day), now.Add(-day))
	before := pair(t, &ca, now.Add(-day), now.Add(10*day), "sbc.example.com", "sip.example.com")
	good := pair(t, &ca, now.Add(-day), now.Add(90*day), "SIP.example.com", "more.example.com", "sbc.example.com")
	mixed := pair(t, &ca, now.Add(-day), now.Add(90*day), "sbc.example.com", "sip.example.com")
	mixed.Certificate[1] = other.cert.Raw
	stranger := pair(t, &ca, now.Add(-day), now.Add(90*day), "sbc.example.com", "sip.example.com")
	stranger.PrivateKey = good.PrivateKey
	broken := pair(t, &ca, now.Add(-day), now.Add(90*day))
	broken.Certificate[1] = []byte("no certificate")
	for name, c := range map[string]struct {
		before, next *tls.Certificate
		want         string
	}{
		"a good one":            {before, good, ""},
		"the first":             {nil, good, ""},
		"the same again":        {before, before, ""},
		"one without a chain":   {before, &tls.Certificate{Certificate: good.Certificate[:1], PrivateKey: good.PrivateKey}, ""},
		"one that ended":        {before, pair(t, &ca, now.Add(-9*day), now, "sbc.example.com", "sip.example.com"), "ended on"},
		"one that is too early": {before, pair(t, &ca, now.Add(time.Minute), now.Add(day), "sbc.example.com", "sip.example.com"), "not valid before"},
		"a name is missing":     {before, pair(t, &ca, now.Add(-day), now.Add(90*day), "sbc.example.com"), "does not name sip.example.com"},
		"another key":           {before, stranger, "key is not that"},
		"another authority":     {before, mixed, "not signed by"},
		"an old authority":      {before, pair(t, &old, now.Add(-day), now.Add(90*day), "sbc.example.com", "sip.example.com"), "of the chain"},
		"rubbish in the chain":  {before, broken, "certificate 2 of the file"},
		"nothing":               {before, nil, "no certificate"},
		"no key":                {before, &tls.Certificate{Certificate: good.Certificate}, "cannot sign"},
	} {
		err := Next(c.before, c.next, now)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Each certificate is told of once per threshold, whatever time is looked at in between and wherever it is used.
func TestAlarmsOncePerThreshold(t *testing.T) {
	var r Register
	ca := authority(t, now, now.Add(5000*day))
	leaf := pair(t, &ca, now, now.Add(100*day), "sbc.example.com").Leaf
	r.Put(Own, "listeners[0]", []*x509.Certificate{leaf, ca.cert})
	r.Put(Own, "listeners[1]", []*x509.Certificate{leaf, ca.cert})
	var got []string
	for at := now; at.Before(now.Add(103 * day)); at = at.Add(time.Hour) {
		for _, a := range r.Due(at) {
			got = append(got, fmt.Sprintf("%d@%d", a.Threshold, int(at.Sub(now)/day)))
			if len(a.Uses) != 2 || a.Role != Own || !a.Leaf {
				t.Errorf("%+v", a)
			}
		}
	}
	if s := strings.Join(got, " "); s != "60@40 30@70 14@86 3@97 0@100" {
		t.Errorf("alarms %s", s)
	}
	var late Register
	late.Put(Own, "x", []*x509.Certificate{leaf})
	if a := late.Due(now.Add(90 * day)); len(a) != 1 || a[0].Threshold != 14 || a[0].Left != 10 {
		t.Errorf("found with ten days left: %+v", a)
	}
	var again Register
	again.Put(Own, "x", []*x509.Certificate{leaf})
	again.Told(Fingerprint(leaf), 14)
	if a := again.Due(now.Add(90 * day)); len(a) != 0 {
		t.Errorf("told in another run and told again: %+v", a)
	}
	if a := again.Due(now.Add(101 * day)); len(a) != 1 || a[0].Threshold != 0 || a[0].Left != -1 {
		t.Errorf("after its end: %+v", a)
	}
}

func TestRegisterListsEveryPlace(t *testing.T) {
	var r Register
	ca := authority(t, now, now.Add(500*day))
	a, b := pair(t, &ca, now, now.Add(10*day), "a.example").Leaf, pair(t, &ca, now, now.Add(20*day), "b.example").Leaf
	u, _ := url.Parse("sip:b.example")
	b.URIs = append(b.URIs, u)
	r.Put(Own, "listeners[0]", []*x509.Certificate{a, ca.cert})
	r.Put(Root, "trunks[0].tls", []*x509.Certificate{ca.cert})
	r.Put(Peer, "carrier 192.0.2.9", []*x509.Certificate{a})
	r.Put(Peer, "carrier 192.0.2.9", []*x509.Certificate{b, ca.cert}) // it was renewed
	var got []string
	for _, c := range r.List() {
		got = append(got, fmt.Sprintf("%s %v %v %v %d", c.Role, c.Leaf, c.Uses, c.Names, c.Left(now)))
	}
	want := "own true [listeners[0]] [a.example] 10\npeer true [carrier 192.0.2.9] [b.example sip:b.example] 20\n"
	if s := strings.Join(got, "\n"); !strings.HasPrefix(s, want) || len(got) != 5 || !strings.Contains(s, "root false [trunks[0].tls] [] 500") {
		t.Errorf("the register:\n%s", s)
	}
	r.Keep(Own, nil)
	r.Put(Root, "trunks[0].tls", nil)
	if n := len(r.List()); n != 2 {
		t.Errorf("%d certificates are left, want the peer's two", n)
	}
	for i := range maxPeers + 10 {
		r.Put(Peer, fmt.Sprint(i), []*x509.Certificate{a})
	}
	if len(r.slots) != maxPeers || len(r.order) != maxPeers {
		t.Errorf("%d and %d places of peers", len(r.slots), len(r.order))
	}
}

// What was told of a certificate that is gone is forgotten after a while, and what stands somewhere is not.
func TestTheRegisterForgetsWhatIsGone(t *testing.T) {
	var r Register
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	r.Told("gone", 14)
	if got := r.Forget(now); len(got) != 0 {
		t.Errorf("at once: %v", got)
	}
	if got := r.Forget(now.Add(goneFor - time.Second)); len(got) != 0 {
		t.Errorf("too early: %v", got)
	}
	if got := r.Forget(now.Add(goneFor)); len(got) != 1 || got[0] != "gone" || len(r.told) != 0 {
		t.Errorf("%v, %d are left", got, len(r.told))
	}
	for i := range 3 * maxPeers {
		r.Told(strconv.Itoa(i), 14)
	}
	if r.Forget(now); len(r.told) != maxTold {
		t.Errorf("%d are remembered", len(r.told))
	}
}
