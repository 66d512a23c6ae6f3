package sip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/state/book"
	msg "github.com/emiago/sipgo/sip"
)

// lasting is a world whose edge comes and goes. Its network, its log, its intents, its relay with all sessions and the file of its book stay.
type lasting struct {
	*world
	path    string
	c       Config
	book    *book.Book
	bookEnd func()
	stop    func() error

	mu       sync.Mutex
	sessions map[string]*media.Session
	told     map[*media.Session][2][]byte
	lost     bool // media loses what it had
}

// outlive plays f in such a world, and checks that in the end everything that was opened was closed.
func outlive(t *testing.T, tune func(*Config), f func(w *lasting)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "calls")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		w := &lasting{path: path, sessions: map[string]*media.Session{}, told: map[*media.Session][2][]byte{}}
		w.openBook()
		w.world = newWorld(t, func(c *Config) {
			if tune != nil {
				tune(c)
			}
			c.Outlive = Outlive{Book: w.book, Save: w.save, Readopt: w.readopt, Told: w.say}
			w.c = *c
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.relay.Run(ctx) })
		w.serve()
		defer func() { // also after a Fatal: a bubble waits for its goroutines
			if h, ok := w.c.Log.(hung); ok {
				h.release()
			}
			_ = w.stop()
			w.bookEnd()
			cancel()
			wg.Wait()
			_ = w.log.Close(context.Background())
			for _, p := range []*peer{w.carrier, w.fra, w.zrh} {
				_ = p.conn.Close()
			}
			w.shut()
		}()
		f(w)
		if err := w.stop(); err != nil {
			t.Error("edge:", err)
		}
		w.bookEnd()
		if n := w.relay.Sessions(); n != 0 {
			t.Errorf("%d media sessions are left", n)
		}
		if open := w.intents.Open(); len(open) != 0 && !t.Failed() {
			t.Errorf("intents are left: %v", open)
		}
		if left := w.left(); len(left) != 0 && !t.Failed() {
			t.Errorf("%d records are left in the book: %s", len(left), left[0].Key)
		}
	})
}

func (w *lasting) openBook() {
	b, err := book.Open(book.Config{Path: w.path})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.Run(ctx) })
	w.book = b
	w.bookEnd = sync.OnceFunc(func() { cancel(); wg.Wait(); _ = b.Close() })
}

// left is what the book holds now, in the file.
func (w *lasting) left() []book.Record {
	w.t.Helper()
	raw, err := os.ReadFile(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	copied := filepath.Join(w.t.TempDir(), "copy")
	if err := os.WriteFile(copied, raw, 0o600); err != nil {
		w.t.Fatal(err)
	}
	b, err := book.Open(book.Config{Path: copied})
	if err != nil {
		w.t.Fatal(err)
	}
	defer b.Close()
	return b.Left()
}

// serve runs the edge until stop.
func (w *lasting) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	e := w.edge
	go func() { failed <- e.Run(ctx) }()
	w.stop = sync.OnceValue(func() error { cancel(); return <-failed })
	synctest.Wait()
}

// shut takes the edge off the network.
func (w *lasting) shut() {
	for _, l := range w.c.Listeners {
		if l.UDP != nil {
			_ = l.UDP.Close()
		} else {
			_ = l.Stream.Close()
		}
	}
}

// kill ends the process between two of its steps, as kill -9 does: nobody hears of it, and what the book has is what is in its file.
func (w *lasting) kill() {
	w.t.Helper()
	time.Sleep(5 * time.Millisecond) // what was put is in the file by then
	raw, err := os.ReadFile(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.lay()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.edge.Leave(over)
	w.shut()
	if h, ok := w.c.Log.(hung); ok {
		h.release()
	}
	_ = w.stop()
	w.bookEnd()
	if err := os.WriteFile(w.path, raw, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// lay has media remember what the ends were told: that it does so is its own matter.
func (w *lasting) lay() {
	for _, s := range w.edge.shards {
		done := make(chan struct{})
		s.loop.Post(func() {
			for c := range s.calls {
				if c.lasts() {
					w.mu.Lock()
					w.told[c.media.Load()] = [2][]byte{c.a.sent, c.b.sent}
					w.mu.Unlock()
				}
			}
			close(done)
		})
		<-done
	}
}

// leave ends it in order, with the calls left as they are.
func (w *lasting) leave() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.edge.Leave(ctx); err != nil {
		w.t.Error(err)
	}
	w.lay()
	if err := w.stop(); err != nil {
		w.t.Error(err)
	}
	w.shut()
	w.bookEnd()
}

// again starts another process in the place of the one that ended, with what tune changes.
func (w *lasting) again(tune func(*Config)) Resumed {
	w.t.Helper()
	w.openBook()
	w.c.Listeners = w.listen(w.c.Listeners)
	w.c.Outlive.Book = w.book
	if tune != nil {
		tune(&w.c)
	}
	var err error
	if w.edge, err = New(w.c); err != nil {
		w.t.Fatal(err)
	}
	var list []Kept
	for _, r := range w.book.Left() {
		list = append(list, Kept(r))
	}
	out := w.edge.Restore(list, w.recorded)
	w.serve()
	return out
}

// listen binds the addresses of listeners that were shut.
func (w *lasting) listen(old []transport.Listener) []transport.Listener {
	w.t.Helper()
	out := slices.Clone(old)
	for i := range out {
		if l := &out[i]; l.Proto == transport.UDP {
			udp, err := w.host.ListenUDP(edgeAddr)
			if err != nil {
				w.t.Fatal(err)
			}
			l.UDP = w.fence.UDP(udp)
		} else {
			ln, err := w.host.ListenTCP(netip.MustParseAddrPort(l.Stream.Addr().String()))
			if err != nil {
				w.t.Fatal(err)
			}
			l.Stream = ln
		}
	}
	return out
}

func (w *lasting) recorded(ref string) bool {
	for _, r := range entries[audit.Receipt](w.world, audit.KindReceipt) {
		if r.CallRef == ref {
			return true
		}
	}
	return false
}

func (w *lasting) save(s *media.Session) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := fmt.Sprintf("%p", s)
	w.sessions[name] = s
	return []byte(name)
}

func (w *lasting) readopt(_ string, saved []byte) (*media.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.sessions[string(saved)]; s != nil && !w.lost {
		return s, nil
	}
	return nil, errors.New("no such session")
}

func (w *lasting) say(s *media.Session, side media.Side) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told[s][side]
}

// held is one call of a test, as both of its ends see it.
type held struct {
	id     string
	ok     *msg.Response
	in     *msg.Request
	seq, n int   // the last CSeq of the caller, of the callee
	far    *peer // the callee
}

// establish sets a call up and brings it into the i-th of five states.
func (w *lasting) establish(i int) *held {
	w.t.Helper()
	h := &held{id: fmt.Sprintf("call%03d@10.1.0.1", i), far: w.fra, seq: 1, n: 10 * (i + 1)} // a branch of its own for each request of fra's
	h.ok, h.in = w.up(h.id, "Supported: timer", "Session-Expires: 600;refresher=uac")
	switch i % 5 {
	case 1: // on hold
		h.seq++
		w.reoffer(h.ok, h.seq, body(w.carrier.sdp, "a=sendrecv", "a=sendonly"), body(w.fra.sdp, "a=sendrecv", "a=recvonly"))
	case 2: // refreshed
		h.seq++
		w.carrier.within(h.ok, "UPDATE", h.seq, "", "Supported: timer", "Session-Expires: 600;refresher=uac")
		w.carrier.status(200)
	case 3: // transferred
		w.fra.inside(h.in, "REFER", h.n, "", "Refer-To: <sip:+41200@10.0.0.1>")
		w.fra.status(202)
		w.fra.notify("100 ", "active")
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.fra.notify("200 ", "terminated")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		h.in, h.far = inv, w.zrh
	case 4: // in a re-INVITE
		h.seq++
		w.carrier.within(h.ok, "INVITE", h.seq, body(w.carrier.sdp, "a=sendrecv", "a=sendonly"))
		h.in = w.fra.request(msg.INVITE)
		w.fra.reply(h.in, 100, "")
		w.carrier.status(100)
	}
	synctest.Wait()
	return h
}

// hangUp ends the call from one side.
func (h *held) hangUp(w *lasting, byCaller bool) {
	w.t.Helper()
	if byCaller {
		h.seq++
		w.carrier.within(h.ok, "BYE", h.seq, "")
		w.carrier.status(200)
		h.far.reply(h.far.request(msg.BYE), 200, "")
		return
	}
	h.n++
	h.far.inside(h.in, "BYE", h.n, "")
	h.far.status(200)
	w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
}

// refused acknowledges the refusal of an INVITE.
func (p *peer) refused(res *msg.Response) {
	p.w.t.Helper()
	ack := p.compose("ACK", "sip:edge.example", res.CallID().Value(), int(res.CSeq().SeqNo), res.To().Params.GetOr("tag", ""), "")
	p.write(strings.Replace(ack, "ACK"+fmt.Sprint(res.CSeq().SeqNo)+";rport", "INVITE"+fmt.Sprint(res.CSeq().SeqNo)+";rport", 1))
}

// torn plays what both ends of a change see that the end of the process tore: who asked is told to ask again, who had agreed is acknowledged.
func (h *held) torn(w *lasting) {
	w.t.Helper()
	w.fra.reply(h.in, 200, body(w.fra.sdp, "a=sendrecv", "a=recvonly"))
	w.fra.request(msg.ACK)
	h.seq++
	re, _ := w.reoffer(h.ok, h.seq, body(w.carrier.sdp, "a=sendrecv", "a=sendonly"), body(w.fra.sdp, "a=sendrecv", "a=recvonly"))
	if before := h.in.CSeq().SeqNo; re.CSeq().SeqNo <= before {
		w.t.Errorf("CSeq %d after %d", re.CSeq().SeqNo, before)
	}
}

// Fifty calls in five states go on after a kill -9: each end may change the session and hang up, and each call gets its own records, once.
func TestCallsOutliveAKilledProcess(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		w.numbers()
		var all []*held
		for i := range 50 {
			all = append(all, w.establish(i))
		}
		began := time.Now()
		refs := map[string]bool{}
		for _, v := range w.edge.Calls() {
			refs[v.Ref] = true
		}
		w.kill()
		time.Sleep(2 * time.Second)
		out := w.again(nil)
		if out.Calls != 50 || out.Ended+out.Records+out.Unread != 0 || len(out.Refs) != 50 || len(w.edge.Calls()) != 50 {
			t.Fatalf("resumed %+v", out)
		}
		time.Sleep(200 * time.Millisecond)
		for i := range all { // what was torn is answered first
			if i%5 == 4 {
				if res := w.carrier.status(491); res.CSeq().SeqNo != 2 {
					t.Errorf("491:\n%s", res)
				} else {
					w.carrier.refused(res)
				}
			}
		}
		for i, h := range all {
			if i%5 == 4 {
				h.torn(w)
			}
		}
		for i, h := range all {
			if i%2 == 0 { // from the caller's side
				h.seq++
				w.carrier.within(h.ok, "INVITE", h.seq, w.carrier.sdp)
				if i%5 == 1 || i%5 == 4 { // the end of the hold is for the other side
					re := h.far.request(msg.INVITE)
					h.far.reply(re, 200, h.far.sdp)
					h.far.request(msg.ACK)
				}
				w.carrier.status(200)
				w.carrier.within(h.ok, "ACK", h.seq, "")
				h.seq++
				w.carrier.within(h.ok, "INFO", h.seq, "")
				h.far.reply(h.far.request(msg.INFO), 200, "")
				w.carrier.status(200)
			}
			h.hangUp(w, i%3 == 0)
		}
		w.told50(refs, began)
	})
}

// told50 checks the records of fifty calls that were up when the process was killed.
func (w *lasting) told50(refs map[string]bool, killed time.Time) {
	w.t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	seen := map[string]int{}
	for _, r := range entries[audit.Receipt](w.world, audit.KindReceipt) {
		seen[r.CallRef]++
		if !refs[r.CallRef] || r.TInvite.After(killed) || r.TAnswer.After(killed) || r.TEnd.Before(killed) || r.Outcome.SIPFinal != 200 || r.Overall != "compliant" {
			w.t.Errorf("receipt %+v", r)
		}
		if len(r.Attempts) != 1 || r.Attempts[0].Result != "200" || r.Attempts[0].Party != "fra" || r.Trunk != "carrier" || r.PolicyDigest != "d" || r.PartyA.Ref == "" || r.PartyB.Ref == "" {
			w.t.Errorf("receipt %+v", r)
		}
		want := "fra"
		if len(r.Transfers) > 0 {
			want = "zrh"
		}
		if r.EdgeGroup != want {
			w.t.Errorf("edge group %s, want %s", r.EdgeGroup, want)
		}
	}
	for _, r := range entries[audit.CallEnded](w.world, audit.KindCallEnded) {
		seen[r.CallRef] += 100
		if r.TalkMS <= 0 || r.Attempts != 1 {
			w.t.Errorf("ended %+v", r)
		}
	}
	for ref, n := range seen {
		if n != 101 {
			w.t.Errorf("%s has %d receipts and %d short records", ref, n%100, n/100)
		}
	}
	if len(seen) != len(refs) {
		w.t.Errorf("records of %d calls, want %d", len(seen), len(refs))
	}
}

// A restart in order says nothing to calls that are up, waits for what is under way, and refuses what is new.
func TestCallsOutliveAnOrderlyRestart(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		h := w.establish(0)
		w.carrier.within(h.ok, "INVITE", 2, body(w.carrier.sdp, "a=sendrecv", "a=sendonly"))
		re := w.fra.request(msg.INVITE)
		w.fra.reply(re, 100, "")
		left := make(chan struct{})
		go func() { defer close(left); w.leave() }()
		time.Sleep(time.Second)
		w.carrier.invite("new@10.1.0.1", w.carrier.sdp)
		w.carrier.status(503)
		w.carrier.within(h.ok, "ACK", 1, "") // of nobody: passed over
		w.fra.reply(re, 200, body(w.fra.sdp, "a=sendrecv", "a=recvonly"))
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		w.carrier.within(h.ok, "ACK", 2, "")
		<-left
		if out := w.again(nil); out.Calls != 1 {
			t.Fatalf("resumed %+v", out)
		}
		w.carrier.silent(time.Second)
		w.fra.silent(time.Second)
		h.seq = 2
		h.hangUp(w, true)
		w.receipt()
	})
}

// The refresh that we owe is sent at its time, and the one that is owed to us is missed at its.
func TestSessionTimersRunOn(t *testing.T) {
	for name, down := range map[string]time.Duration{"within the first half": 10 * time.Second, "beyond our refresh": 70 * time.Second} {
		t.Run(name, func(t *testing.T) {
			outlive(t, nil, func(w *lasting) {
				w.carrier.invite("timed@10.1.0.1", w.carrier.sdp, "Supported: timer", withAllow, "Session-Expires: 120;refresher=uas")
				in := w.fra.request(msg.INVITE)
				w.fra.reply(in, 200, w.fra.sdp, "Session-Expires: 600;refresher=uas", "Require: timer") // the callee refreshes its own leg
				w.fra.request(msg.ACK)
				ok := w.carrier.status(200)
				w.carrier.within(ok, "ACK", 1, "")
				synctest.Wait()
				start := time.Now()
				w.kill()
				time.Sleep(down)
				w.again(nil)
				up := w.carrier.request(msg.UPDATE)
				took := time.Since(start)
				if want := max(60*time.Second, down); took < want || took > want+4*time.Second || value(up, "session-expires") != "120;refresher=uac" || len(up.Body()) != 0 {
					t.Errorf("after %v:\n%s", took, up)
				}
				w.carrier.reply(up, 200, "", "Session-Expires: 120;refresher=uac")
				for range 20 { // the callee falls silent, and its session ends
					m := w.carrier.read(130 * time.Second)
					req, is := m.(*msg.Request)
					if !is || req.Method != msg.UPDATE {
						w.carrier.reply(req, 200, "")
						break
					}
					w.carrier.reply(req, 200, "", "Session-Expires: 120;refresher=uac")
				}
				if took := time.Since(start).Round(time.Second); took < 567*time.Second || took > 570*time.Second {
					t.Errorf("BYE after %v", took)
				}
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
				if r := w.receipt(); r.Outcome.Cause != "session expired" {
					t.Errorf("outcome %+v", r.Outcome)
				}
			})
		})
	}
}

// A peer that knows no UPDATE is refreshed by a re-INVITE with the description as it was. Where that is not known, it is asked for its own and answered.
func TestARefreshByInviteAfterARestart(t *testing.T) {
	for name, told := range map[string]bool{"with what it was told": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			outlive(t, func(c *Config) { c.Parties[0].Refresh = 120 * time.Second }, func(w *lasting) {
				ok, _ := w.up("plain@10.1.0.1")
				w.kill()
				w.again(func(c *Config) {
					if !told {
						c.Outlive.Told = func(*media.Session, media.Side) []byte { return nil }
					}
				})
				if !told { // a description with keys is in no book
					for _, s := range w.edge.shards {
						s.loop.Post(func() {
							for c := range s.calls {
								c.a.sent = nil
							}
						})
					}
				}
				re := w.carrier.request(msg.INVITE)
				if told != bytes.Equal(re.Body(), ok.Body()) || told == (len(re.Body()) == 0) {
					t.Errorf("re-INVITE:\n%s", re)
				}
				w.carrier.reply(re, 200, w.carrier.sdp, "Session-Expires: 120;refresher=uac")
				ack := w.carrier.request(msg.ACK)
				if told == strings.Contains(string(ack.Body()), "m=audio") || !told && strings.Contains(string(ack.Body()), "m=audio 0") {
					t.Errorf("ACK:\n%s", ack)
				}
				w.end(ok, 2)
			})
		})
	}
}
