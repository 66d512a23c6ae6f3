//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDescriptionsAreRead(t *testing.T) {
	t.Parallel()
	at, key := netip.MustParseAddrPort("127.20.1.1:40000"), newMaster()
	for _, suite := range []string{"", tag80, tag32} {
		got, err := read(describe(at, suite, 3, key), suite)
		want := told{at: at}
		if suite != "" {
			want.tag, want.key = 3, key
		}
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", suite, got, err)
		}
	}
	two := append(describe(at, tag80, 1, newMaster()), "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:"+strings.Repeat("A", 40)+"|2^31\r\n"...)
	if got, err := read(two, tag32); err != nil || got.tag != 2 || got.key != (master{}) {
		t.Errorf("the second line: %+v, %v", got, err)
	}
	for what, bad := range map[string][]byte{
		"another profile": describe(at, "", 0, key), "another suite": describe(at, tag32, 1, key), "nothing": nil,
		"no port":      bytes.Replace(describe(at, tag80, 1, key), []byte("m=audio 40000"), []byte("m=audio 0"), 1),
		"no address":   bytes.Replace(describe(at, tag80, 1, key), []byte("c=IN IP4 127.20.1.1"), []byte("c=IN IP4 there"), 1),
		"a short key":  bytes.Replace(describe(at, tag80, 1, key), []byte("inline:"), []byte("inline:QUJD|"), 1),
		"no such tag":  bytes.Replace(describe(at, tag80, 1, key), []byte("crypto:1"), []byte("crypto:x"), 1),
		"far too high": bytes.Replace(describe(at, tag80, 1, key), []byte("40000"), []byte("70000"), 1),
	} {
		if got, err := read(bad, tag80); !errors.Is(err, errSDP) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

func TestStreamsVerifyWhatTheySent(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{"", tag80, tag32} {
		key := newMaster()
		s := &stream{ssrc: 77, seq: 65530, suite: [2]string{suite, suite}} // over the wrap of the sequence number
		var err error
		if s.seal, err = keyed(suite, key); err != nil {
			t.Fatal(err)
		}
		if s.open, err = keyed(suite, key); err != nil {
			t.Fatal(err)
		}
		l, err := prepare([]*stream{s}, 77, 20, nil)
		if err != nil {
			t.Fatal(err)
		}
		for p := range 20 {
			b := slices.Clone(l.packet(0, p))
			if p == 10 {
				b[40]++
			}
			if err := s.verify(b); (err == nil) != (p != 10) {
				t.Errorf("%q, packet %d: %v", suite, p, err)
			}
		}
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	v := make([]uint32, 1000)
	for i := range v {
		v[i] = uint32(999 - i)
	}
	for q, want := range map[float64]uint32{0: 0, 0.5: 500, 0.99: 990, 1: 999} {
		if got := quantile(v, q); got != want {
			t.Errorf("%v: %d, want %d", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 || median(nil) != 0 || median([]float64{3, 1, 2}) != 2 || median([]float64{4, 1, 2, 3}) != 2.5 {
		t.Error("of none, of three, of four")
	}
}

// sample is a report of two rows: the peer loses in the second one, where also the generator was late.
func sample(t *testing.T) *report {
	t.Helper()
	p, err := parse([]string{"-out", t.TempDir(), "-rates", "20000,50000"})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(p)
	for i, pps := range p.rates {
		w := r.row("plain", pps)
		for round := range 3 {
			late := []uint32{uint32(i*3) * 1e6}
			w.cell(nameCordon).add(&window{Passed: 1000, Sent: 1000, CPU: time.Duration(1+round) * time.Millisecond, Delay: []uint32{5000}, Late: late, Checked: 20}, 0)
			w.cell(nameBare).add(&window{Passed: 1000, Sent: 1000, CPU: time.Millisecond, Checked: 20}, 0)
			w.cell(namePeer).add(&window{Passed: 900, Sent: 1000, Lost: 100, Worst: 30, CPU: 9 * time.Millisecond, Delay: []uint32{9000}, Late: []uint32{1}, Checked: 20}, 0)
		}
	}
	r.weight("plain", nameCordon, 20<<10, 7<<10)
	r.garbage = &garbled{MB: 50, PPS: garbageRate, P99: 4000}
	r.capacity = &capacity{Calls: 1500, Share: 0.5, Sent: 1e6}
	r.floods = []flood{{Mode: "plain", Forged: 1e6, Sent: 1e6, Live: -100}}
	return r
}

func TestRowsAreMediansOfRounds(t *testing.T) {
	t.Parallel()
	l := sample(t).lines()
	if len(l) != 2 || l[0].Cordon != 2 || l[0].Peer != 10 || !slices.Equal(l[0].Ratios, []float64{0.1, 0.2, 0.3}) || l[0].Ratio != 0.2 {
		t.Errorf("%+v", l)
	}
	if l[0].Bare != 1 {
		t.Errorf("bare: %v", l[0].Bare)
	}
	if l[0].Loss != 0 || l[0].PeerLoss != 0.1 || l[0].P50 != 5 || l[0].PeerP99 != 9 || !l[0].Counts {
		t.Errorf("%+v", l[0])
	}
	if l[1].Counts || len(l[1].Why) != 3 || !strings.Contains(l[1].Why[0], "late") {
		t.Errorf("the generator was late: %+v", l[1])
	}
}

func TestTargetsAreHeldAgainstTheirBounds(t *testing.T) {
	t.Parallel()
	met := map[string]bool{}
	for _, g := range sample(t).targets() {
		met[g.Name] = g.Met
	}
	for name, want := range map[string]bool{
		"CPU to rtpengine, plain, 20000 pps": true, "CPU to rtpengine, plain, 50000 pps": false, "memory per call, plain": false, "p99, plain, 50000 pps": false,
		"p99 with 50 MB/s of garbage": true, "core for 1500 SRTP-SRTP calls": true, "live memory grown by a flood, plain": true, "audio lost in a flood, plain": true,
	} {
		if got, ok := met[name]; !ok || got != want {
			t.Errorf("%s: met %v, there %v, want %v", name, got, ok, want)
		}
	}
}

func TestResultsAreWritten(t *testing.T) {
	t.Parallel()
	r := sample(t)
	var screen bytes.Buffer
	r.print(&screen)
	if !strings.Contains(screen.String(), "plain 50000 pps does not count: cordon: the generator was 3ms late") {
		t.Error(screen.String())
	}
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(r.plan.out, "media.json"))
	var doc struct {
		Rows    []map[string]any
		Machine map[string]any
	}
	if err := errors.Join(err, json.Unmarshal(b, &doc)); err != nil || len(doc.Rows) != 2 || doc.Machine["cores"] == nil {
		t.Fatalf("%v, %+v", err, doc)
	}
	for _, key := range []string{"mode", "pps", "cordon_us", "peer_us", "ratio", "loss", "peer_loss", "p50_us", "p99_us"} {
		if _, ok := doc.Rows[0][key]; !ok {
			t.Errorf("a row has no %s", key)
		}
	}
	if b, err = os.ReadFile(filepath.Join(r.plan.out, "media.svg")); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	for err = nil; err == nil; {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("%v\n%s", err, b)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	if p, err := parse([]string{"-modes", "srtp-srtp,plain", "-rates", "100000"}); err != nil || !slices.Equal(p.modes, []int{2, 0}) || calls(p.rates[0]) != 1000 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := parse([]string{"-modes", ""}); err != nil || len(p.modes) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := parse([]string{"-split", "-cpuprofile=x"}); err == nil {
		t.Error("a profile of the process that carries nothing is taken")
	}
	for _, bad := range []string{"-modes=srtp", "-rates=", "-rates=20010", "-rates=0", "-rounds=0", "-window=1ms", "-warm=0s", "-only=kamailio", "-capacity=5000", "-flood=-1"} {
		if _, err := parse([]string{bad}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestTheDoor asks the relay's process for a call of each mode, and sends packets through it both ways.
func TestTheDoor(t *testing.T) {
	questions, in := io.Pipe()
	out, replies := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- relay([]string{"-at", "127.20.4.1"}, questions, replies)
	}()
	c := &cordon{asks: json.NewEncoder(in), replies: json.NewDecoder(out)}
	g, err := newGenerator([2]netip.AddrPort{netip.MustParseAddrPort("127.20.4.2:0"), netip.MustParseAddrPort("127.20.4.3:0")}, netip.MustParseAddrPort("127.20.4.4:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	for m, md := range modes() {
		var streams []*stream
		for i := range 3 {
			k, err := establish(c, g.far(), m, md.name+string(rune('a'+i)), uint32(1000+2*i))
			if err != nil {
				t.Fatal(md.name, err)
			}
			streams = append(streams, k.streams[:]...)
		}
		l, err := prepare(streams, 1000, 4*every, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := play{l: l, g: g, took: &window{}, sent: make([]int64, len(streams)*l.packets), got: make([]uint8, len(streams)*l.packets), whose: make([]int32, 0, 100)}
		p.through(t)
		p.count()
		p.check()
		if w := p.took; w.Lost != 0 || w.Twice != 0 || w.Strange != 0 || w.Bad != 0 || w.Checked < 20 {
			t.Errorf("%s: %+v", md.name, w)
		}
	}
	f, err := c.figures(true)
	if err != nil || f.Sessions != 9 || f.Rx != 9*2*4*every || f.Tx != f.Rx {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := c.ask(question{Op: "end", ID: "plaina"}); err != nil {
		t.Error(err)
	}
	if _, err := c.ask(question{Op: "end", ID: "plaina"}); err == nil {
		t.Error("a session ended twice")
	}
	in.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestABareRelay sets a call up with it and sends a packet through it each way.
func TestABareRelay(t *testing.T) {
	questions, in := io.Pipe()
	out, replies := io.Pipe()
	go func() { _ = bare([]string{"127.20.4.6"}, questions, replies) }() // its relay ends with the test's process
	c := barest{&cordon{asks: json.NewEncoder(in), replies: json.NewDecoder(out)}}
	g, err := newGenerator([2]netip.AddrPort{netip.MustParseAddrPort("127.20.4.7:0"), netip.MustParseAddrPort("127.20.4.8:0")}, netip.MustParseAddrPort("127.20.4.9:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	k, err := establish(c, g.far(), 0, "one", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ask(question{Op: "relay"}); err != nil {
		t.Fatal(err)
	}
	l, err := prepare(k.streams[:], 1000, 4*every, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := play{l: l, g: g, took: &window{}, sent: make([]int64, 2*l.packets), got: make([]uint8, 2*l.packets), whose: make([]int32, 0, 100)}
	p.through(t)
	p.check()
	if w := p.took; w.Passed != 8*every || w.Twice+w.Strange+w.Bad != 0 {
		t.Errorf("%+v", w)
	}
	if _, err := c.ask(question{Op: "answer", ID: "two", SDP: describe(g.far()[0], "", 0, master{})}); err == nil {
		t.Error("an answer without an offer is taken")
	}
	in.Close()
}

// through sends every packet of a load and waits for it, one at a time.
func (p *play) through(t *testing.T) {
	t.Helper()
	for n := range p.l.packets * len(p.l.streams) {
		who, packet := n%len(p.l.streams), n/len(p.l.streams)
		s := p.l.streams[who]
		p.g.socks[s.from].out.add(p.l.packet(who, packet), &s.to)
		if p.g.socks[s.from].send() != 0 {
			t.Fatal("not sent")
		}
		for limit := time.Now().Add(5 * time.Second); p.took.Passed <= n; {
			if err := p.receive(true); err != nil || time.Now().After(limit) {
				t.Fatalf("packet %d of stream %d: %v, %+v", packet, who, err, p.took)
			}
		}
	}
}

func TestGarbageIsMade(t *testing.T) {
	t.Parallel()
	m, size := newMessage(7)
	if len(m.headers) < 8 || m.headers["call-id"] != " 7@192.0.2.1\n" || size < 1000 {
		t.Errorf("%d bytes, %q", size, m.headers)
	}
	litter(1)() // it ends when told to
}

func TestATurnIsDoubted(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]window{
		"":                           {Late: []uint32{1e6}, Others: 0.02},
		"the generator was 2.5ms":    {Late: []uint32{25e5}},
		"3 packets the generator":    {Failed: 3},
		"4 packets lost at the gene": {Dropped: 4},
		"the other system had 10 %":  {Others: 0.1},
	} {
		if got := w.doubt(); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
