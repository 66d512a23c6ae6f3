package cordon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sip/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// digitsConfig tells as much of a call as a node ever does.
const digitsConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 10.0.0.0/8, region: aws:eu-central-1, contract: c}
  - {prefix: 127.1.0.0/16, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}], media: {security: srtp, insecure_lab: true}, dtmf: info}
routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
trace: {unmasked: true, messages: 1000}
hep: {address: "10.9.0.10:9060"}
spans: {endpoint: "http://127.1.0.11:4318/v1/traces"}
api: {address: "off"}
`

var (
	digitsNode  = netip.MustParseAddr("10.5.0.10")
	digitsHEP   = netip.MustParseAddrPort("10.9.0.10:9060")
	digitsSpans = netip.MustParseAddrPort("127.1.0.11:4318")
)

// typist is a whole node between a carrier that has telephone events and a group that has its digits by INFO, in a network that doubles datagrams.
type typist struct {
	t            *testing.T
	node         *Node
	trunk, group *carrier.Peer
	metrics      *prometheus.Registry
	log          bytes.Buffer // read when the node has stopped

	mu     sync.Mutex
	copies []string // of messages, as the HEP collector gets them
	spans  []string
}

// newTypist starts everything, and gives what ends it.
func newTypist(ctx context.Context, t *testing.T) (w *typist, stop func()) {
	t.Helper()
	w = &typist{t: t, metrics: prometheus.NewRegistry()}
	net := vnet.New(1)
	net.Default(vnet.Quality{Delay: 9 * time.Millisecond, Dup: 0.2})
	net.Tap(func(p vnet.Packet) {
		if p.To == digitsHEP {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.copies = append(w.copies, string(p.Data))
		}
	})
	ctx, cancel := context.WithCancel(ctx)
	var peers sync.WaitGroup
	peer := func(name, at string, secure bool) *carrier.Peer {
		addr := netip.MustParseAddr(at)
		p, err := carrier.New(carrier.Config{Name: name, Net: net.Host(addr), Addr: netip.AddrPortFrom(addr, 5060), MediaAddr: addr, SRTP: secure, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		peers.Go(func() { _ = p.Run(ctx) })
		return p
	}
	w.trunk, w.group = peer("carrier", "10.1.0.10", false), peer("fra", "10.10.0.10", true)
	l, err := net.Host(digitsSpans.Addr()).ListenTCP(digitsSpans)
	if err != nil {
		t.Fatal(err)
	}
	collector := &http.Server{Handler: w}
	peers.Go(func() { _ = collector.Serve(l) })
	cfg, err := configs.Parse("cordon.yaml", []byte(digitsConfig))
	if err != nil {
		t.Fatal(err)
	}
	w.node, err = New(ctx, Options{
		Config: cfg, Net: net.Host(digitsNode), Memory: true, Metrics: w.metrics,
		Logger: slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second) // until the group is known to be there
	return w, func() {
		if err := w.node.Stop(context.WithoutCancel(ctx), time.Second); err != nil {
			t.Error(err)
		}
		_ = collector.Close()
		cancel()
		peers.Wait()
		for _, f := range append(w.trunk.Stats().Faults, w.group.Stats().Faults...) {
			t.Error(f)
		}
	}
}

// ServeHTTP is the collector of spans.
func (w *typist) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.t.Error(err)
	}
	w.spans = append(w.spans, string(b))
}

// call brings one up, and gives both of its ends.
func (w *typist) call(ctx context.Context) (a, b *carrier.Call) {
	w.t.Helper()
	a, err := w.trunk.Call(ctx, carrier.CallOptions{From: "+4930", To: "+496912345", Dest: netip.AddrPortFrom(digitsNode, 5060)})
	if err != nil {
		w.t.Fatal(err)
	}
	if status, err := a.WaitFinal(ctx); status != 200 || err != nil {
		w.t.Fatal(status, err)
	}
	time.Sleep(time.Second)
	return a, w.group.Calls()[0]
}

// types has one end type digits by INFO, each of which gets that answer.
func (w *typist) types(ctx context.Context, c *carrier.Call, keys string, want int) {
	w.t.Helper()
	for _, key := range keys {
		if status, err := c.SendInfo(ctx, "application/dtmf-relay", fmt.Sprintf("Signal=%c\r\nDuration=160\r\n", key)); status != want || err != nil {
			w.t.Errorf("%c: %d %v, want %d", key, status, err, want)
		}
	}
}

// has says what digits came to an end until now: all in the same way, and as long as they were typed.
func (w *typist) has(c *carrier.Call, info bool, least time.Duration, keys string) {
	w.t.Helper()
	time.Sleep(2 * time.Second)
	got := ""
	for _, d := range c.Digits() {
		if got += string(d.Key); d.Info != info || !d.Ended || d.Length < least || d.Length > least+20*time.Millisecond {
			w.t.Errorf("%+v", d)
		}
	}
	if got != keys {
		w.t.Errorf("%q came, want %q", got, keys)
	}
}

func must(t *testing.T, f func(context.Context) (int, error)) {
	t.Helper()
	if status, err := f(t.Context()); status != 200 || err != nil {
		t.Fatal(status, err)
	}
}

// TestTheWholeNodeConvertsDigits: digits cross a node both ways, before, during and after holds of either side; each arrives once, in order, and in the way of who gets
// it. How many they were is told, and which ones nowhere: not by the log, the audit log, metrics, traces of messages and headers, their copies, nor spans.
func TestTheWholeNodeConvertsDigits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		ctx := t.Context()
		w, stop := newTypist(ctx, t)
		a, b := w.call(ctx)
		const pressed, typed = 100 * time.Millisecond, 160 * time.Millisecond
		press := func(keys string) {
			t.Helper()
			if err := a.Press(keys); err != nil {
				t.Error(err)
			}
		}
		found, ok := w.node.book.Find(w.node.edge.Calls()[0].Ref, 0)
		if !ok {
			t.Fatal("no trace of the call")
		}
		watched := make(chan []trace.RTP)
		go func() {
			list, err := tracer{w.node}.Media(ctx, found.ID, 5*time.Second)
			if err != nil {
				t.Error(err)
			}
			watched <- list
		}()
		press("B#1D")
		w.types(ctx, b, "C#A", 200)
		w.has(b, true, pressed, "B#1D")
		w.has(a, false, typed, "C#A")
		w.headers(<-watched)

		must(t, a.Hold)
		press("*B")
		w.types(ctx, b, "D", 480) // the carrier does not listen, and hears it neither now nor later
		w.has(b, true, pressed, "B#1D*B")
		must(t, a.Resume)
		w.has(a, false, typed, "C#A")

		must(t, b.Hold)
		if a.Press("1") == nil {
			t.Error("the carrier may send")
		}
		w.types(ctx, b, "#A", 200)
		w.has(a, false, typed, "C#A#A")
		must(t, b.Resume)

		press("1#")
		w.types(ctx, b, "B", 200)
		w.has(b, true, pressed, "B#1D*B1#")
		w.has(a, false, typed, "C#A#AB")
		matched := a.Media().Matched
		time.Sleep(time.Second)
		if m := a.Media(); m.Matched < matched+45 || m.Corrupt+m.Foreign > 0 {
			t.Errorf("audio between digits: %+v", m)
		}
		if err := a.Hangup(ctx); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second) // spans are sent in batches
		if found, ok = w.node.book.Find(found.Ref, 0); !ok {
			t.Fatal("the trace is gone")
		}
		w.labels()
		w.records()
		stop()
		w.trace(found)
		w.lines()
		w.collectors()
	})
}

// headers looks at what somebody saw who watched packets: those of digits too, and nothing behind their headers.
func (w *typist) headers(list []trace.RTP) {
	w.t.Helper()
	events := 0
	for _, p := range list {
		if p.Header[1]&0x7f == 101 {
			events++
		}
		if len(p.Header) != 12 {
			w.t.Errorf("% x", p.Header)
		}
	}
	if events < 20 {
		w.t.Errorf("%d packets of digits were seen", events)
	}
}

// labels looks at the metrics.
func (w *typist) labels() {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil || len(families) == 0 {
		w.t.Error(len(families), err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				w.secret(f.GetName()+" "+l.GetName(), l.GetValue())
			}
		}
	}
}

// records looks at the audit log, which has how many there were.
func (w *typist) records() {
	w.t.Helper()
	list, err := w.node.Log().Entries(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	calls := 0
	for _, e := range list {
		w.leaves(string(e.Kind), e.Body)
		if e.Kind != audit.KindCallEnded {
			continue
		}
		calls++
		var c audit.CallEnded
		if err := json.Unmarshal(e.Body, &c); err != nil {
			w.t.Fatal(err)
		}
		if q := c.Quality; len(q) != 2 || q[0].DigitsIn != 8 || q[0].DigitsOut != 6 || q[1].DigitsIn+q[1].DigitsOut != 0 {
			w.t.Errorf("%+v", q)
		}
	}
	if calls != 1 {
		w.t.Errorf("%d calls ended", calls)
	}
}

// trace looks at what the node remembers of messages.
func (w *typist) trace(found trace.Trace) {
	w.t.Helper()
	informed := 0
	for i := range found.Events {
		e := &found.Events[i]
		e.Seq = 0 // it is the place in the trace
		if e.Line == "INFO" {
			informed++
			w.starred(e.Text)
		}
	}
	b, err := json.Marshal(found)
	if err != nil {
		w.t.Fatal(err)
	}
	w.leaves("trace", b)
	if want := 8 + 7; informed < want { // and those that came twice
		w.t.Errorf("%d INFO in the trace, want %d", informed, want)
	}
}

// starred wants a message whose body is masked as a whole.
func (w *typist) starred(text string) {
	w.t.Helper()
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	_, length, _ := strings.Cut(head, "\r\nContent-Length: ")
	length, _, _ = strings.Cut(length, "\r\n")
	n, err := strconv.Atoi(length)
	if err != nil || n == 0 || n > len(body) || strings.Trim(body[:n], "*\r\n") != "" {
		w.t.Errorf("%q", text)
	}
}

// lines looks at the log.
func (w *typist) lines() {
	w.t.Helper()
	lines := 0
	for line := range bytes.Lines(w.log.Bytes()) {
		lines++
		w.leaves("log", line)
	}
	if lines == 0 {
		w.t.Error("nothing was logged")
	}
}

// collectors looks at what left for them.
func (w *typist) collectors() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	informed := 0
	for _, c := range w.copies {
		if i := strings.Index(c, "INFO sip:"); i >= 0 {
			informed++
			w.starred(c[i:])
		}
		w.secret("hep", c)
	}
	if informed < 15 || len(w.spans) == 0 {
		w.t.Errorf("%d INFO were copied, and %d batches of spans", informed, len(w.spans))
	}
	for _, s := range w.spans {
		w.leaves("span", []byte(s))
	}
}

// leaves looks at each name and value of a record.
func (w *typist) leaves(where string, record []byte) {
	w.t.Helper()
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			w.t.Fatalf("%s: %v: %s", where, err, record)
		}
		if _, is := token.(json.Delim); !is {
			w.secret(where+" "+string(record), fmt.Sprint(token))
		}
	}
}

// secret wants a word that is no key which was typed, nor its event, and has none of the rows in it that were. Of the keys those count whose events are 10 and more, since
// a node has other reasons to tell of a 1.
func (w *typist) secret(where, word string) {
	w.t.Helper()
	const keys = "*#ABCD"
	event, err := strconv.Atoi(word)
	is := len(word) == 1 && strings.Contains(keys, word) || err == nil && event >= 10 && event < 10+len(keys)
	has := slices.ContainsFunc([]string{"B#1", "#1D", "C#A", "Signal="}, func(row string) bool { return strings.Contains(word, row) })
	if is || has {
		w.t.Errorf("%q tells a digit: %.600s", word, where)
	}
}
