package transport

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
)

func onlyEmergency(Proto, netip.AddrPort, *PeerIdentity) Admission {
	return Admission{Party: "carrier", Look: ForEmergency}
}

func (w *world) emergencyPass(to netip.AddrPort) *sovereign.Pass {
	w.t.Helper()
	p, r := w.fence.Pass(sovereign.Ask{Party: "carrier", Plane: sovereign.Signalling, Purpose: sovereign.EmergencyCall, Addr: to})
	if p == nil {
		w.t.Fatal(r.Why)
	}
	return p
}

// A held source is read in silence, with a way back that is for an emergency call alone; what is malformed gets no answer.
func TestHeldSource(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.screen = onlyEmergency
		p := w.udpPeer(w.net.Host(foreignAddr), 5060)
		defer p.c.Close()
		p.send(message("INVITE", 1, "", ""))
		p.send(message("INVITE", 2, "Max-Forwards: x\r\n", ""))
		in := w.one()
		if !in.OnlyEmergency || !in.Flow.Valid() || in.Flow.Pass().Ask().Purpose != sovereign.EmergencyCall {
			t.Errorf("%+v, pass for %s", in, in.Flow.Pass().Ask().Purpose)
		}
		if got := p.recv(); got != "" {
			t.Errorf("a byte went out: %q", got)
		}
		if err := w.l.Send(in.Flow, []byte("SIP/2.0 100 Trying\r\n\r\n")); err != nil || p.recv() == "" {
			t.Errorf("the way back is closed: %v", err)
		}
	})
}

// A held source's stream is silent until an emergency call takes it, and falls silent again behind it.
func TestHeldStream(t *testing.T) {
	inWorld(t, func(w *world) { w.peer = w.net.Host(foreignAddr) }, func(w *world) {
		w.screen = onlyEmergency
		p := w.dialEdge(edgeTCP)
		defer p.Close()
		p.send("\r\n\r\n" + message("INVITE", 1, "", ""))
		in := w.one()
		if got, closed := p.recv(); got != "" || closed {
			t.Fatalf("%q, closed %v", got, closed)
		}
		f, release := w.l.Under(in.Flow, w.emergencyPass(in.Flow.Remote()))
		if err := w.l.Send(f, []byte("x")); err != nil {
			t.Fatal(err)
		}
		p.send("\r\n\r\n")
		if got, closed := p.recv(); got != "x\r\n" || closed {
			t.Errorf("%q, closed %v", got, closed)
		}
		release()
		release() // once is enough
		p.send("\r\n\r\n")
		if got, closed := p.recv(); got != "" || closed {
			t.Errorf("%q, closed %v", got, closed)
		}
	})
}

// A stream that came from a held place is an ordinary one as soon as the place is permitted.
func TestHeldStreamIsPermittedLater(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		law := w.fence.Snapshot()
		w.screen = onlyEmergency
		w.fence.Swap(snapshot(t, "198.18.0.0/15"))
		p := w.dialEdge(edgeTCP)
		defer p.Close()
		p.send(message("OPTIONS", 1, "", ""))
		if in := w.one(); in.Flow.Valid() {
			t.Error("a flow to nowhere is valid")
		}
		w.mu.Lock()
		w.in, w.screen = nil, nil
		w.mu.Unlock()
		w.fence.Swap(law)
		p.send(message("OPTIONS", 2, "", ""))
		if err := w.l.Send(w.one().Flow, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got, closed := p.recv(); got != "x" || closed {
			t.Errorf("%q, closed %v", got, closed)
		}
	})
}

// A stream with an emergency call outlives a swap that closes the others, until the last call on it is over, but not a denial.
func TestStreamUnderAnEmergencyCall(t *testing.T) {
	narrow := func(t *testing.T, denied bool) *sovereign.Snapshot {
		iad, _ := sovereign.ParseRegion("aws:us-east-1")
		fra, _ := sovereign.ParseRegion("aws:eu-central-1")
		d := []sovereign.Declaration{{Prefix: "192.0.2.0/24", Region: fra, Contract: "annex 1"}}
		if denied {
			d = nil
		}
		atlas, err := sovereign.NewAtlas(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
			Atlas: atlas, Policy: sovereign.Policy{Home: fra, Allow: []sovereign.Region{iad}},
			Parties: []sovereign.Party{{Name: "carrier", Kind: sovereign.KindTrunk, Region: fra, Contract: "C-1"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		defer p.Close()
		p.send(message("INVITE", 1, "", ""))
		in := w.one()
		pass := w.emergencyPass(in.Flow.Remote())
		f, one := w.l.Under(in.Flow, pass)
		_, two := w.l.Under(in.Flow, pass)
		w.fence.Swap(narrow(t, false))
		one()
		if err := w.l.Send(in.Flow, []byte("x")); err == nil {
			t.Error("the flow that came is still open")
		}
		if err := w.l.Send(f, []byte("y")); err != nil {
			t.Error(err)
		}
		if got, closed := p.recv(); got != "y" || closed {
			t.Errorf("%q, closed %v", got, closed)
		}
		two()
		time.Sleep(10 * time.Millisecond)
		if got, closed := p.recv(); got != "" || !closed {
			t.Errorf("%q, closed %v", got, closed)
		}
	})
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		defer p.Close()
		p.send(message("INVITE", 1, "", ""))
		in := w.one()
		f, release := w.l.Under(in.Flow, w.emergencyPass(in.Flow.Remote()))
		defer release()
		w.fence.Swap(narrow(t, true))
		if err := w.l.Send(f, []byte("y")); err == nil {
			t.Error("sent to a denied place")
		}
		if got, closed := p.recv(); got != "" || !closed {
			t.Errorf("%q, closed %v", got, closed)
		}
	})
}

// A pass for another address changes nothing.
func TestUnderAnAlienPass(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		f := w.flow(UDP, netip.AddrPortFrom(peerAddr, 5060))
		got, release := w.l.Under(f, w.emergencyPass(netip.AddrPortFrom(peerAddr, 5061)))
		release()
		if got != f {
			t.Error("the flow rests on the pass of another address")
		}
	})
}

// A dial is given up with its pass: the SYN that the system would repeat does not leave.
func TestDialEndsWithItsPass(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"by a swap":  func(w *world) { w.fence.Swap(snapshot(t, "198.18.0.0/15")) },
		"by a grant": func(*world) {},
		"by a leave": func(w *world) { // whose pass lives on, for last words over what stands
			cut := sovereign.Sever{Kind: sovereign.SeverTrunk, Name: "carrier", From: time.Now()}
			leave := sovereign.Leave{Cause: cut.Cause(), From: cut.From, Until: cut.From.Add(750 * time.Millisecond)}
			w.fence.Swap(w.fence.Snapshot().WithStrikes(nil, []sovereign.Leave{leave}, []sovereign.Sever{cut}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.config.Connect = 30 * time.Second }, func(w *world) {
				dest := w.dest(TCP, netip.AddrPortFrom(peerAddr, 5060), nil)
				if name == "by a grant" {
					dest = w.granted(foreignAddr, 500*time.Millisecond)
				}
				if name == "by a leave" {
					dest.Pass, _ = w.fence.Pass(sovereign.Ask{Party: "carrier", Plane: sovereign.Signalling, Addr: dest.Addr, Began: time.Now().UnixNano()})
				}
				w.net.Default(vnet.Quality{Loss: 1})
				var syns int
				w.net.Tap(func(p vnet.Packet) {
					if p.Kind == vnet.SYN && time.Since(w.start) > 700*time.Millisecond {
						syns++
					}
				})
				f, err := w.l.Flow(dest)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.l.Send(f, []byte("x")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(600 * time.Millisecond)
				end(w)
				time.Sleep(20 * time.Second)
				if syns != 0 {
					t.Errorf("%d SYNs left after the end", syns)
				}
				if l := w.losses(); len(l) != 1 || !errors.Is(l[0].err, sovereign.ErrFenced) {
					t.Errorf("%+v", l)
				}
			})
		})
	}
}

// granted puts a grant for Virginia in force that lasts d, and gives a destination there.
func (w *world) granted(to netip.Addr, d time.Duration) Dest {
	w.t.Helper()
	iad, _ := sovereign.ParseRegion("aws:us-east-1")
	fra, _ := sovereign.ParseRegion("aws:eu-central-1")
	atlas, err := sovereign.NewAtlas(nil, []sovereign.Declaration{{Prefix: to.String() + "/32", Region: iad, Contract: "annex 2"}})
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Atlas: atlas, Policy: sovereign.Policy{Home: fra, Allow: []sovereign.Region{fra}},
		Parties: []sovereign.Party{{Name: "carrier", Kind: sovereign.KindTrunk, Region: iad, Contract: "C-1"}},
		Grants:  []sovereign.Grant{{ID: "g", Trunks: []string{"carrier"}, Regions: []sovereign.Region{iad}, NotBefore: time.Now(), Until: time.Now().Add(d)}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.fence.Swap(s)
	return w.dest(TCP, netip.AddrPortFrom(to, 5060), nil)
}
