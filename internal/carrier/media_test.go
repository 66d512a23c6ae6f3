package carrier

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
)

// packet is one of the call's own tone packets as it would come back.
func packet(m *media, n uint32, edit func(*rtp.Packet)) []byte {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pcma, SequenceNumber: uint16(n), SSRC: 5}, Payload: make([]byte, samples)}
	for i := range p.Payload {
		p.Payload[i] = digitalMilliwatt[i%8]
	}
	copy(p.Payload, m.nonce[:])
	binary.BigEndian.PutUint32(p.Payload[8:], n)
	binary.BigEndian.PutUint64(p.Payload[12:], uint64(time.Now().Add(-30*time.Millisecond).UnixNano()))
	if edit != nil {
		edit(&p)
	}
	b, _ := p.Marshal()
	return b
}

// TestWhatMediaAccepts feeds single packets to a call whose echo is off.
func TestWhatMediaAccepts(t *testing.T) {
	payload := func(f func(b []byte)) func(*rtp.Packet) { return func(p *rtp.Packet) { f(p.Payload) } }
	tests := []struct {
		name  string
		send  func(m *media, out func([]byte))
		want  MediaStats
		fault string
	}{
		{"echo", func(m *media, out func([]byte)) { out(packet(m, 0, nil)) }, MediaStats{Received: 1, Matched: 1, SSRCs: 1}, ""},
		{"twice", func(m *media, out func([]byte)) { out(packet(m, 0, nil)); out(packet(m, 0, nil)) }, MediaStats{Received: 2, Matched: 1, Duplicates: 1, SSRCs: 1}, ""},
		{"changed audio", func(m *media, out func([]byte)) { out(packet(m, 0, payload(func(b []byte) { b[100] ^= 1 }))) }, MediaStats{Received: 1, Corrupt: 1, SSRCs: 1}, ""},
		{"short", func(m *media, out func([]byte)) {
			out(packet(m, 0, func(p *rtp.Packet) { p.Payload = p.Payload[:80] }))
		}, MediaStats{Received: 1, Corrupt: 1, SSRCs: 1}, ""},
		{"another call's", func(m *media, out func([]byte)) { out(packet(m, 0, payload(func(b []byte) { b[0] ^= 1 }))) }, MediaStats{Received: 1, Foreign: 1, SSRCs: 1}, ""},
		{"never sent", func(m *media, out func([]byte)) { out(packet(m, 99999, nil)) }, MediaStats{Received: 1, Foreign: 1, SSRCs: 1}, ""},
		{"DTMF", func(m *media, out func([]byte)) {
			out(packet(m, 0, func(p *rtp.Packet) { p.PayloadType, p.Payload = telEvent, []byte{5, 10, 0, 160} }))
		}, MediaStats{Received: 1, SSRCs: 1}, ""},
		{"speech as DTMF", func(m *media, out func([]byte)) { out(packet(m, 0, func(p *rtp.Packet) { p.PayloadType = telEvent })) }, MediaStats{Received: 1, SSRCs: 1}, "telephone event"},
		{"one digit becomes another", func(m *media, out func([]byte)) {
			for n, key := range []byte{5, 6} {
				out(packet(m, uint32(n), func(p *rtp.Packet) { p.PayloadType, p.Payload = telEvent, []byte{key, 10, 0, 160} }))
			}
		}, MediaStats{Received: 2, SSRCs: 1}, "of another one"},
		{"codec", func(m *media, out func([]byte)) { out(packet(m, 0, func(p *rtp.Packet) { p.PayloadType = 0 })) }, MediaStats{Received: 1, SSRCs: 1}, "payload type 0"},
		{"two sources", func(m *media, out func([]byte)) {
			out(packet(m, 0, nil))
			out(packet(m, 1, func(p *rtp.Packet) { p.SSRC = 6 }))
		}, MediaStats{Received: 2, Matched: 2, SSRCs: 2}, ""},
		{"RTCP", func(m *media, out func([]byte)) { out([]byte{0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0}) }, MediaStats{}, ""},
		{"no RTP", func(m *media, out func([]byte)) { out([]byte("hello, this is no RTP")) }, MediaStats{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, vnet.Quality{}, func(_, e *Config) { e.Behaviour = Behaviour{Mute: true} })
				w.lenient = true
				c := w.call(CallOptions{})
				<-c.Answered()
				time.Sleep(100 * time.Millisecond)
				tt.send(c.media, func(b []byte) { _ = write(w.edge.Calls()[0].media.sock.rtp, b, c.Media().Local) })
				time.Sleep(time.Millisecond)
				got := c.Media()
				if got.Matched > 0 && (got.RTTMin != 30*time.Millisecond || got.RTTMax != got.RTTMin || got.RTTMean != got.RTTMin) {
					t.Errorf("round trip %+v", got)
				}
				got = MediaStats{Received: got.Received, Matched: got.Matched, Duplicates: got.Duplicates, Foreign: got.Foreign, Corrupt: got.Corrupt, SSRCs: got.SSRCs}
				if got != tt.want {
					t.Errorf("got %+v", got)
				}
				expect(t, w.carrier.Stats().Faults, tt.fault)
				_ = c.Hangup(t.Context())
				w.stop()
			})
		})
	}
}

// TestForgedMedia sends from a third address, and unencrypted into an SRTP call.
func TestForgedMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{}, func(c, _ *Config) { c.SRTP = true })
		w.lenient = true
		defer w.stop()
		c := w.call(CallOptions{})
		<-c.Answered()
		time.Sleep(time.Second)
		before := c.Media()
		thief, err := w.host.ListenUDP(netip.AddrPortFrom(ipEdge2, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer thief.Close()
		for _, s := range []sovereign.UDPConn{thief, w.edge.Calls()[0].media.sock.rtp} {
			_ = write(s, packet(c.media, 3, nil), before.Local)
		}
		time.Sleep(time.Millisecond)
		m := c.Media()
		if m.WrongSource != 1 || m.AuthFailed != 1 || m.Duplicates+m.Foreign+m.Corrupt != 0 {
			t.Errorf("%+v", m)
		}
		expect(t, w.carrier.Stats().Faults, "RTP from 10.2.0.2")
		_ = c.Hangup(t.Context())
	})
}

func TestWaitEchoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{Delay: 50 * time.Millisecond}, nil)
		defer w.stop()
		c := w.call(CallOptions{Talk: time.Second})
		if err := c.WaitEchoes(t.Context(), 20); err != nil || c.Media().Matched != 20 {
			t.Error(err, c.Media())
		}
		if err := c.WaitEchoes(t.Context(), 20); err != nil {
			t.Error(err)
		}
		if err := c.WaitEchoes(t.Context(), 1000); err == nil || !strings.Contains(err.Error(), "the call ended") {
			t.Error(err)
		}
	})
}
