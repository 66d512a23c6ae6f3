package sip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// speaker is the media of a far end: it says and hears telephone events.
type speaker struct {
	w    *world
	conn sovereign.UDPConn
	to   netip.AddrPort // of the edge, for it
	seq  uint16
	ts   uint32
	got  [][]byte
}

// speaks gives the media of a peer, to which the edge described itself.
func (w *world) speaks(at netip.AddrPort, described string) *speaker {
	w.t.Helper()
	conn, err := w.hosts[at.Addr()].ListenUDP(netip.AddrPortFrom(at.Addr(), 30000))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &speaker{w: w, conn: conn, seq: 100}
	s.told(described)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			w.mu.Lock()
			s.got = append(s.got, bytes.Clone(b[:n]))
			w.mu.Unlock()
		}
	}()
	w.t.Cleanup(func() { conn.Close(); <-done })
	return s
}

func (s *speaker) told(described string) {
	for line := range strings.Lines(described) {
		if f := strings.Fields(line); strings.HasPrefix(line, "m=audio ") {
			port, _ := strconv.Atoi(f[1])
			s.to = netip.AddrPortFrom(edgeAddr.Addr(), uint16(port))
		}
	}
}

func (s *speaker) send(pt byte, ts uint32, payload []byte) {
	b := []byte{0x80, pt}
	b = binary.BigEndian.AppendUint16(b, s.seq)
	b = binary.BigEndian.AppendUint32(b, ts)
	b = append(binary.BigEndian.AppendUint32(b, 77), payload...)
	s.seq++
	if _, err := s.conn.WriteToUDPAddrPort(b, s.to); err != nil {
		s.w.t.Error(err)
	}
	synctest.Wait()
}

// dials says digits of 100 ms each, with their ends three times.
func (s *speaker) dials(events ...byte) {
	for _, e := range events {
		s.ts += 8000
		for i := range 5 {
			p := []byte{e, 10, 0, 160}
			if i > 1 {
				p = []byte{e, 0x8a, 3, 32}
			}
			s.send(101, s.ts, p)
		}
	}
}

// talks says speech for so many frames.
func (s *speaker) talks(frames int) {
	for range frames {
		s.ts += 160
		s.send(8, s.ts, make([]byte, 160))
		time.Sleep(20 * time.Millisecond)
	}
}

// heard gives the digits that came, as their codes and how many packets each had, and how many packets of speech.
func (s *speaker) heard() (digits string, speech int) {
	synctest.Wait()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	last, n := "", 0
	flush := func() {
		if n > 0 {
			digits += fmt.Sprintf("%s:%d ", strings.Fields(last)[0], n)
		}
		n = 0
	}
	for _, b := range s.got {
		if b[1]&0x7f != 101 {
			speech++
			continue
		}
		key := fmt.Sprintf("%d %x", b[12], b[4:8])
		if key != last {
			flush()
			last = key
		}
		n++
	}
	flush()
	s.got = nil
	return strings.TrimSpace(digits), speech
}

// bareSDP is the description of a far end without telephone events.
func bareSDP(p *peer) string {
	return strings.Replace(strings.Replace(p.sdp, "a=rtpmap:101 telephone-event/8000\r\n", "", 1), "AVP 8 101", "AVP 8", 1)
}

const takesInfo = "Allow: INVITE, ACK, BYE, CANCEL, INFO"

// eventsToInfo brings up a call of a caller with telephone events to a group without, which takes INFO.
func (w *world) eventsToInfo(callID string) (ok *msg.Response, in *msg.Request, caller, callee *speaker) {
	w.t.Helper()
	w.carrier.invite(callID, w.carrier.sdp)
	in = w.fra.request(msg.INVITE)
	w.fra.reply(in, 200, bareSDP(w.fra), takesInfo)
	w.fra.request(msg.ACK)
	ok = w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	if !strings.Contains(string(ok.Body()), "telephone-event") {
		w.t.Errorf("the caller is told of no telephone events:\n%s", ok.Body())
	}
	return ok, in, w.speaks(carrierAddr, string(ok.Body())), w.speaks(fraAddr, string(in.Body()))
}

// said is the body of the INFO with a digit that comes next.
func (p *peer) said(status int, more ...string) string {
	p.w.t.Helper()
	req := p.request(msg.INFO)
	p.reply(req, status, "", more...)
	return strings.TrimPrefix(value(req, "content-type"), "application/") + " " + strings.ReplaceAll(string(req.Body()), "\r\n", " ")
}

// The digits of a caller with telephone events reach a group that takes INFO, one at a time and in order; nothing of them goes on as packets, and only their number is written down.
//
// Conforms: RFC 6086 section 4.2.1; an INFO of the old kind is sent in the dialog of its INVITE.
func TestDigitsGoOnByInfo(t *testing.T) {
	log := &bytes.Buffer{}
	run(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, func(w *world) {
		ok, in, caller, callee := w.eventsToInfo("digits")
		caller.talks(2)
		caller.dials(5, 5, 11, 16)
		first := w.fra.request(msg.INFO)
		w.fra.silent(300 * time.Millisecond) // the others wait
		if string(first.Body()) != "Signal=5\r\nDuration=100\r\n" || first.CallID().Value() != in.CallID().Value() {
			t.Errorf("\n%s", first)
		}
		w.fra.reply(first, 200, "")
		for _, want := range []string{"Signal=5", "Signal=#", "Signal=16"} {
			if got := w.fra.said(200); got != "dtmf-relay "+want+" Duration=100 " {
				t.Errorf("%q, want %s", got, want)
			}
		}
		w.fra.silent(time.Second)
		if digits, speech := callee.heard(); digits != "" || speech != 2 {
			t.Errorf("the group hears %q and %d packets", digits, speech)
		}
		w.end(ok, 2)
		r := w.receipt()
		if q := r.Outcome.Quality; q[0].DigitsIn != 4 || q[0].DigitsOut+q[1].DigitsIn+q[1].DigitsOut != 0 {
			t.Errorf("%+v", q)
		}
	})
	if strings.Contains(log.String(), "Signal") {
		t.Errorf("a digit was logged:\n%s", log)
	}
}

// A far end that takes no INFO after all is asked once, and one that takes another body gets that.
func TestDigitsThatAreRefused(t *testing.T) {
	for _, status := range []int{405, 415, 501} {
		log := &bytes.Buffer{}
		run(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) }, func(w *world) {
			ok, _, caller, _ := w.eventsToInfo("refused")
			caller.dials(1, 2, 3)
			w.fra.said(status)
			caller.dials(4)
			w.fra.silent(2 * time.Second)
			w.end(ok, 2)
		})
		if n := strings.Count(log.String(), "takes no digits by INFO"); n != 1 || strings.Contains(log.String(), "Signal") {
			t.Errorf("%d: logged %d times:\n%s", status, n, log)
		}
	}
	run(t, nil, func(w *world) {
		ok, _, caller, _ := w.eventsToInfo("another")
		caller.dials(1, 10)
		w.fra.said(415, "Accept: application/sdp, application/dtmf")
		for _, want := range []string{"dtmf 1", "dtmf *"} {
			if got := w.fra.said(200); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		caller.dials(2, 3)
		w.fra.said(500) // that one is lost, and the next one goes
		if got := w.fra.said(200); got != "dtmf 3" {
			t.Errorf("%q", got)
		}
		caller.dials(4)
		w.fra.said(481) // the dialog is lost: RFC 5057 section 5.1
		w.fra.reply(w.fra.request(msg.BYE), 481, "")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		_ = ok
		w.receipt()
	})
}

// More digits than a far end answers wait up to a bound.
func TestDigitsThatWait(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _, caller, _ := w.eventsToInfo("waiting")
		for range 2 * maxDigits {
			caller.dials(7)
		}
		for range maxDigits {
			w.fra.said(200)
		}
		w.fra.silent(2 * time.Second)
		caller.dials(8)
		if got := w.fra.said(200); !strings.Contains(got, "Signal=8") {
			t.Errorf("%q", got)
		}
		w.end(ok, 2)
	})
}

// infoToEvents brings up a call of a caller without telephone events, who takes INFO, to a group that has them.
func (w *world) infoToEvents(callID string) (ok *msg.Response, caller, callee *speaker) {
	w.t.Helper()
	w.carrier.invite(callID, bareSDP(w.carrier), takesInfo)
	in := w.fra.request(msg.INVITE)
	if !strings.Contains(string(in.Body()), "telephone-event/8000") {
		w.t.Errorf("the group is offered no telephone events:\n%s", in.Body())
	}
	w.fra.reply(in, 200, w.fra.sdp)
	w.fra.request(msg.ACK)
	ok = w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	if strings.Contains(string(ok.Body()), "telephone-event") {
		w.t.Errorf("the caller is told of telephone events:\n%s", ok.Body())
	}
	return ok, w.speaks(carrierAddr, string(ok.Body())), w.speaks(fraAddr, string(in.Body()))
}

// keys sends a digit by INFO inside the dialog of the caller.
func (p *peer) keys(ok *msg.Response, seq int, kind, body string) {
	p.w.t.Helper()
	raw := p.compose("INFO", ok.Contact().Address.String(), ok.CallID().Value(), seq, ok.To().Params.GetOr("tag", ""), body)
	p.write(strings.Replace(raw, "application/sdp", kind, 1))
}

// The digits that a caller says by INFO reach a group as telephone events, in the place of speech and without, and the group hears of no INFO; and its own come to the caller by INFO.
func TestDigitsComeByInfo(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, caller, callee := w.infoToEvents("keys")
		w.carrier.keys(ok, 2, "application/dtmf-relay", "Signal=7\r\nDuration=120\r\n")
		w.carrier.status(200)
		time.Sleep(time.Second)
		if digits, _ := callee.heard(); digits != "7:8" { // 120 ms, of which the last 20 end it, and two more ends
			t.Errorf("without speech: %q", digits)
		}
		w.carrier.keys(ok, 3, "application/dtmf", "#")
		w.carrier.keys(ok, 4, "application/dtmf-relay", "Signal=*\r\nDuration=1\r\n")
		w.carrier.status(200)
		w.carrier.status(200)
		caller.talks(20)
		if digits, speech := callee.heard(); digits != "11:7 10:4" || speech != 9 {
			t.Errorf("in the place of speech: %q, %d of speech", digits, speech)
		}
		for i, bad := range []string{"Signal=x\r\n", "Duration=100\r\n", "Signal=1\r\nSignal=2\r\n"} {
			w.carrier.keys(ok, 5+i, "application/dtmf-relay", bad)
			w.carrier.status(400)
		}
		callee.dials(9)
		if got := w.carrier.said(200); got != "dtmf-relay Signal=9 Duration=100 " {
			t.Errorf("the caller hears %q", got)
		}
		w.carrier.within(ok, "INFO", 8, "") // another one goes on as ever
		w.fra.reply(w.fra.request(msg.INFO), 200, "")
		w.carrier.status(200)
		w.end(ok, 9)
		if q := w.receipt().Outcome.Quality; q[1].DigitsOut != 3 || q[1].DigitsIn != 1 {
			t.Errorf("%+v", q)
		}
	})
}

// Who is on hold hears no digit, and its caller is told so.
func TestDigitsDuringAHold(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("hold", bareSDP(w.carrier), takesInfo)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, strings.Replace(w.fra.sdp, "sendrecv", "sendonly", 1))
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.carrier.keys(ok, 2, "application/dtmf-relay", "Signal=7\r\nDuration=120\r\n")
		w.carrier.status(480)
		w.end(ok, 3)
	})
}

// A party of telephone events gets no digit by INFO, whether it has any or not; a party of INFO is offered none.
func TestDigitsByConfiguration(t *testing.T) {
	digits := func(d media.Digits) func(*Config) {
		return func(c *Config) { c.Parties[1].Leg.Digits = d }
	}
	run(t, digits(media.DigitsEvents), func(w *world) {
		w.carrier.invite("none", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, bareSDP(w.fra), takesInfo)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		if strings.Contains(string(ok.Body()), "telephone-event") {
			t.Errorf("the caller is told of telephone events:\n%s", ok.Body())
		}
		w.carrier.keys(ok, 2, "application/dtmf-relay", "Signal=7\r\n")
		w.carrier.status(415)
		w.end(ok, 3)
	})
	run(t, digits(media.DigitsEvents), func(w *world) { // both have them, and the caller says INFO all the same
		ok, in := w.up("both")
		callee := w.speaks(fraAddr, string(in.Body()))
		w.carrier.keys(ok, 2, "application/dtmf-relay", "Signal=7\r\n")
		w.carrier.status(200)
		time.Sleep(time.Second)
		if digits, _ := callee.heard(); digits != "7:7" {
			t.Errorf("%q", digits)
		}
		w.end(ok, 3)
	})
	run(t, digits(media.DigitsInfo), func(w *world) {
		w.carrier.invite("info", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		if strings.Contains(string(in.Body()), "telephone-event") {
			t.Errorf("a party of INFO is offered\n%s", in.Body())
		}
		w.fra.reply(in, 200, bareSDP(w.fra))
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.speaks(carrierAddr, string(ok.Body())).dials(3)
		if got := w.fra.said(200); !strings.Contains(got, "Signal=3") {
			t.Errorf("%q", got)
		}
		w.end(ok, 2)
	})
}

// Digits are converted on by the process after this one, whose legs know what their far ends take.
func TestDigitsAfterARestart(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		ok, _, caller, _ := w.eventsToInfo("lasting")
		caller.dials(1)
		w.fra.said(200)
		w.kill()
		w.again(nil)
		for _, s := range w.edge.shards {
			done := make(chan struct{})
			s.loop.Post(func() {
				for c := range s.calls {
					if !c.b.informs || c.a.informs {
						t.Error("what the far ends take is forgotten")
					}
				}
				close(done)
			})
			<-done
		}
		caller.dials(2)
		if got := w.fra.said(200); !strings.Contains(got, "Signal=2") {
			t.Errorf("%q", got)
		}
		w.end(ok, 2)
	})
}
