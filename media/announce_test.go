package media

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media/clip"
)

// stage is a relay that runs and tells of announcements.
type stage struct {
	*bed
	n *network

	mu    sync.Mutex
	ended []Played
}

func newStage(t *testing.T) *stage {
	t.Helper()
	st := &stage{n: newNetwork()}
	st.bed = newBed(t, st.n.door, func(c *Config) {
		c.Played = func(session string, p Played) {
			st.mu.Lock()
			defer st.mu.Unlock()
			if session != "call" {
				t.Errorf("session %q", session)
			}
			st.ended = append(st.ended, p)
		}
	})
	runs(t, st.relay.Run)
	return st
}

func (st *stage) ends() []Played {
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	out := st.ended
	st.ended = nil
	return out
}

// sentence is an announcement whose samples all differ, of so many frames.
func sentence(frames int, lasts time.Duration, more ...clip.Clip) *Announcement {
	samples := make([]int16, 160*frames)
	for i := range samples {
		samples[i] = int16(37 * i)
	}
	return NewAnnouncement(append(clip.G711(samples), more...), lasts)
}

// hear gives the payloads that came to a peer, in one piece.
func (p *peer) hear() string { return strings.Join(p.heard(p.opener()), "") }

// A caller hears the announcement, sample by sample, under its keys, and nothing else; its end is told.
func TestACallerHearsAnAnnouncement(t *testing.T) {
	for name, leg := range map[string]Leg{"plain": plainLeg("carrier"), "srtp": srtpLeg("carrier"), "gcm": srtpLeg("carrier", AEAD_AES_256_GCM)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, a := newStage(t), sentence(10, 400*time.Millisecond)
				st.relay.Stock([]*Announcement{a})
				suite := Suite("")
				if leg.Security != Plain {
					suite = AES_CM_128_HMAC_SHA1_80
				}
				if len(leg.Suites) > 0 {
					suite = leg.Suites[0]
				}
				alice, s := newPeer(t, st.n, aliceAddr, 4000, suite), st.open(leg)
				answer := ok(s.Announce(alice.sdp(), a))(t)
				if alice.reads(answer); !bytes.Contains(answer, []byte(" 8\r\n")) || !bytes.Contains(answer, []byte("a=sendrecv")) || bytes.Contains(answer, []byte("rtpmap:101")) {
					t.Errorf("%s", answer)
				}
				wait(time.Second)
				if got := alice.got(alice.rtp); len(got) > 0 {
					t.Errorf("%d packets before anything is played", len(got))
				}
				if codec, ok := s.Play(a); !ok || codec != "PCMA" {
					t.Fatalf("%s %v", codec, ok)
				}
				wait(time.Second)
				sound := string(a.of(clock{pace{rate: 8000}, "PCMA"}).Bytes)
				if got := alice.hear(); got != sound+sound {
					t.Errorf("%d bytes, want %d", len(got), 2*len(sound))
				}
				if ends := st.ends(); !slices.Equal(ends, []Played{{A, 400 * time.Millisecond, true}}) {
					t.Errorf("%+v", ends)
				}
				r := s.Close()
				if side := r.Sides[A]; side.TxPackets != 20 || side.Codec != "PCMA" || side.Suite != suite || r.Sides[B].Local.IsValid() || side.Remote != alice.rtp.at {
					t.Errorf("%+v", r)
				}
				if st.n.sockets() != 2+2*st.resting() {
					t.Errorf("%d sockets are open", st.n.sockets())
				}
			})
		})
	}
}

// resting is how many pairs the relay keeps for later.
func (b *bed) resting() int {
	b.relay.ports.mu.Lock()
	defer b.relay.ports.mu.Unlock()
	return b.relay.ports.open
}

// The first codec of the offer that there is a sound for is answered, under its number; without one nothing is.
func TestTheCodecOfAnAnnouncement(t *testing.T) {
	g722 := clip.Clip{Codec: clip.G722, Size: 160, Bytes: bytes.Repeat([]byte{7}, 1600)}
	for offer, x := range map[string]struct {
		more []clip.Clip
		want string // the answered line; "" a refusal
	}{
		"18 0 8|18 G729/8000|0 PCMU/8000|8 PCMA/8000":       {nil, "0|0 PCMU/8000"},
		"9 8|9 G722/8000|8 PCMA/8000":                       {nil, "8|8 PCMA/8000"},
		"9 8 101|9 G722/8000|101 telephone-event/8000":      {[]clip.Clip{g722}, "9|9 G722/8000"},
		"111 97|111 opus/48000/2|97 PCMA/8000":              {nil, "97|97 PCMA/8000"},
		"111 96|111 opus/48000/2|96 PCMA/16000":             {nil, ""},
		"111 101|111 opus/48000/2|101 telephone-event/8000": {nil, ""},
		"18": {nil, ""},
		"8":  {nil, "8|8 PCMA/8000"},
	} {
		t.Run(offer, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, a := newStage(t), sentence(3, 0, x.more...)
				st.relay.Stock([]*Announcement{a})
				parts := strings.Split(offer, "|")
				sdp := "v=0\r\no=- 1 1 IN IP4 127.0.1.10\r\ns=-\r\nc=IN IP4 127.0.1.10\r\nt=0 0\r\nm=audio 4000 RTP/AVP " + parts[0] + "\r\n"
				for _, m := range parts[1:] {
					sdp += "a=rtpmap:" + m + "\r\n"
				}
				alice, s := newPeer(t, st.n, aliceAddr, 4000, ""), st.open(plainLeg("carrier"))
				answer, err := s.Announce([]byte(sdp), a)
				if x.want == "" {
					var ref *Refusal
					if !errors.As(err, &ref) || ref.Status != 488 {
						t.Errorf("%v\n%s", err, answer)
					}
					if _, ok := s.Play(a); ok {
						t.Error("it is played all the same")
					}
					return
				}
				format, coding, _ := strings.Cut(x.want, "|")
				if err != nil || !bytes.Contains(answer, []byte("RTP/AVP "+format+"\r\n")) || !bytes.Contains(answer, []byte("a=rtpmap:"+coding+"\r\n")) {
					t.Fatalf("%v\n%s", err, answer)
				}
				codec, _ := s.Play(a)
				wait(time.Second)
				got := alice.got(alice.rtp)
				if pt, _ := payloadType(format); len(got) == 0 || got[1][1] != pt || !strings.Contains(coding, codec) {
					t.Errorf("%d packets of %s", len(got), codec)
				}
			})
		})
	}
}

// Who may not be sent to, and who wants to hear nothing, is not answered; not a packet leaves.
func TestWhoIsNotPlayedTo(t *testing.T) {
	for name, x := range map[string]struct {
		sdp    func(alice, held *peer) []byte
		status int
	}{
		"a held place": {func(_, held *peer) []byte { return held.sdp() }, 403},
		"sendonly":     {func(a, _ *peer) []byte { return a.sdp("a=sendonly") }, 488},
		"inactive":     {func(a, _ *peer) []byte { return a.sdp("a=inactive") }, 488},
		"on hold": {func(a, _ *peer) []byte {
			return bytes.ReplaceAll(a.sdp(), []byte("c=IN IP4 127.0.1.10"), []byte("c=IN IP4 0.0.0.0"))
		}, 488},
		"no audio":   {func(a, _ *peer) []byte { return bytes.Replace(a.sdp(), []byte("m=audio 4000"), []byte("m=audio 0"), 1) }, 488},
		"unreadable": {func(a, _ *peer) []byte { return []byte("v=0\r\n\r\nx") }, 488},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, a := newStage(t), sentence(3, 0)
				st.relay.Stock([]*Announcement{a})
				alice, held := newPeer(t, st.n, aliceAddr, 4000, ""), newPeer(t, st.n, heldAddr, 4000, "")
				s := st.open(plainLeg("carrier"))
				_, err := s.Announce(x.sdp(alice, held), a)
				var ref *Refusal
				if !errors.As(err, &ref) || ref.Status != x.status {
					t.Errorf("%v", err)
				}
				_, ok := s.Play(a)
				wait(time.Second)
				if n := len(alice.got(alice.rtp)) + len(held.got(held.rtp)); ok || n > 0 {
					t.Errorf("%v, %d packets", ok, n)
				}
			})
		})
	}
}

// After an early answer of a far end that was given up, the caller is played what it agreed to then; the far end is gone, also one that shared the time with another.
func TestAnAnnouncementAfterAnEarlyAnswer(t *testing.T) {
	for name, beside := range map[string]bool{"alone": false, "beside another": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, a := newStage(t), sentence(3, 0)
				st.relay.Stock([]*Announcement{a})
				alice, bob := newPeer(t, st.n, aliceAddr, 4000, ""), newPeer(t, st.n, bobAddr, 5000, "")
				s := st.open(plainLeg("carrier"))
				offer := alice.sdp()
				var b *Branch
				if beside {
					made, out, err := s.Branch(offer, plainLeg("fra"))
					if b = made; err != nil {
						t.Fatal(err)
					}
					bob.reads(out)
					toA, _, err := b.Hear(bob.sdp())
					if err != nil {
						t.Fatal(err)
					}
					alice.reads(toA)
				} else {
					bob.reads(ok(s.Offer(A, offer, plainLeg("fra")))(t))
					alice.reads(ok(s.Answer(B, bob.sdp()))(t))
				}
				open := st.resting()
				alice.reads(ok(s.Announce(offer, a))(t))
				if b != nil {
					b.Drop() // its attempt ends behind that
				}
				if _, ok := s.Play(a); !ok {
					t.Fatal("nothing is played")
				}
				bob.talk(3)
				wait(time.Second)
				if got := alice.hear(); got != string(a.of(clock{pace{rate: 8000}, "PCMA"}).Bytes) {
					t.Errorf("%d bytes", len(got))
				}
				if n := len(bob.got(bob.rtp)); n > 0 {
					t.Errorf("the far end that was given up heard %d packets", n)
				}
				if r := s.Close(); r.Sides[B].Local.IsValid() || st.resting() > open {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// A caller that is played to may move and hold; what it may not do is take the codec away.
func TestAFurtherOfferDuringAnAnnouncement(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, a := newStage(t), sentence(3, time.Minute)
		st.relay.Stock([]*Announcement{a})
		alice, there := newPeer(t, st.n, aliceAddr, 4000, ""), newPeer(t, st.n, aliceAddr, 4100, "")
		s := st.open(plainLeg("carrier"))
		if _, err := s.Reannounce(alice.sdp(), a); err == nil {
			t.Error("a further offer before the first")
		}
		alice.reads(ok(s.Announce(alice.sdp(), a))(t))
		s.Play(a)
		wait(time.Second)
		if n := len(alice.got(alice.rtp)); n < 49 || n > 51 {
			t.Errorf("%d packets", n)
		}
		ok(s.Reannounce(there.sdp(), a))(t)
		wait(time.Second)
		if n := len(there.got(there.rtp)); n < 49 || n > 51 {
			t.Errorf("%d packets at the new address", n)
		}
		if answer := ok(s.Reannounce(there.sdp("a=inactive"), a))(t); !bytes.Contains(answer, []byte("a=inactive")) {
			t.Errorf("%s", answer)
		}
		wait(time.Second)
		if n := len(there.got(there.rtp)); n > 1 {
			t.Errorf("%d packets on hold", n)
		}
		ok(s.Reannounce(there.sdp(), a))(t)
		for _, bad := range [][]byte{bytes.Replace(there.sdp(), []byte("AVP 8 101"), []byte("AVP 0 101"), 1), newPeer(t, st.n, heldAddr, 4000, "").sdp()} {
			if _, err := s.Reannounce(bad, a); err == nil {
				t.Errorf("taken: %s", bad)
			}
		}
		there.got(there.rtp)
		wait(time.Second)
		if n := len(there.got(there.rtp)); n < 49 || n > 51 {
			t.Errorf("%d packets after refusals", n)
		}
		if ends := st.ends(); len(ends) > 0 {
			t.Errorf("%+v", ends)
		}
	})
}

// A caller without an offer gets one of ours, and is played what it chose.
func TestAnAnnouncementWithoutAnOffer(t *testing.T) {
	for name, x := range map[string]struct {
		formats, codec string
	}{"A-law": {"8 101", "PCMA"}, "mu-law": {"0", "PCMU"}, "none of ours": {"101", ""}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, a := newStage(t), sentence(3, 0)
				st.relay.Stock([]*Announcement{a})
				alice, s := newPeer(t, st.n, aliceAddr, 4000, ""), st.open(plainLeg("carrier"))
				offer := ok(s.AnnounceOffer(a))(t)
				if alice.reads(offer); !bytes.Contains(offer, []byte("RTP/AVP 8 0\r\n")) || !bytes.Contains(offer, []byte("a=sendrecv")) {
					t.Errorf("%s", offer)
				}
				err := s.AnnounceTo(bytes.Replace(alice.sdp(), []byte("8 101"), []byte(x.formats), 1), a)
				codec, _ := s.Play(a)
				if (err == nil) != (x.codec != "") || codec != x.codec {
					t.Fatalf("%v %q", err, codec)
				}
				wait(time.Second)
				if n := len(alice.got(alice.rtp)); (n == 3) != (err == nil) {
					t.Errorf("%d packets", n)
				}
			})
		})
	}
}

// A call that finds a way after all, or that ends, is played nothing more; a place that is not permitted any more hears nothing at once, and that is told.
func TestWhatEndsAnAnnouncement(t *testing.T) {
	for name, x := range map[string]struct {
		do   func(st *stage, s *Session, sdp []byte)
		want []Played
	}{
		"a way": {func(st *stage, s *Session, sdp []byte) { ok(s.Offer(A, sdp, plainLeg("fra")))(st.t) }, nil},
		"close": {func(_ *stage, s *Session, _ []byte) { s.Close() }, nil},
		"law":   {func(st *stage, _ *Session, _ []byte) { st.fence.Swap(snapshot(st.t, "aws:us-east-1")) }, []Played{{A, 120 * time.Millisecond, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, a := newStage(t), sentence(3, time.Minute)
				st.relay.Stock([]*Announcement{a})
				alice, s := newPeer(t, st.n, aliceAddr, 4000, ""), st.open(plainLeg("carrier"))
				ok(s.Announce(alice.sdp(), a))(t)
				s.Play(a)
				wait(105 * time.Millisecond)
				if n := len(alice.got(alice.rtp)); n != 5 {
					t.Fatalf("%d packets", n)
				}
				x.do(st, s, alice.sdp())
				wait(time.Second)
				if n := len(alice.got(alice.rtp)); n > 0 {
					t.Errorf("%d packets more", n)
				}
				if ends := st.ends(); !slices.Equal(ends, x.want) {
					t.Errorf("%+v", ends)
				}
			})
		})
	}
}

// One that was never given to what carries the packets is told to be over at once.
func TestAnAnnouncementThatIsNotThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, a := newStage(t), sentence(3, 0)
		alice, s := newPeer(t, st.n, aliceAddr, 4000, ""), st.open(plainLeg("carrier"))
		ok(s.Announce(alice.sdp(), a))(t)
		s.Play(a)
		if ends := st.ends(); !slices.Equal(ends, []Played{{A, 0, false}}) {
			t.Errorf("%+v", ends)
		}
	})
}
