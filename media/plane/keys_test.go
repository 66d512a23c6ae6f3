package plane

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"testing"

	"github.com/pion/srtp/v2"

	ours "github.com/cordonsip/cordon/media/srtp"
)

// Conforms: RFC 3711 section 3.3.2
func TestReplay(t *testing.T) {
	for _, suite := range suites {
		k := newKey(suite)
		in := opening(t, k)
		for _, step := range []struct {
			ext  uint32
			fine bool
		}{{1000, true}, {1000, false}, {1002, true}, {1001, true}, {1001, false}, {1200, true}, {1073, true}, {1072, false}, {1002, false}} {
			if err := in.try(sealed(t, k, 1, step.ext)); (err == nil) != step.fine {
				t.Errorf("%s: %d: %v", suite, step.ext, err)
			}
		}
		b := sealedRTCP(t, k, report(1, 0), 9)
		if err := in.tryRTCP(b); err != nil {
			t.Errorf("%s: rtcp: %v", suite, err)
		}
		if in.tryRTCP(b) == nil {
			t.Errorf("%s: a replayed report was taken", suite)
		}
		for index, fine := range map[uint32]bool{8: true, 10: true} {
			if err := in.tryRTCP(sealedRTCP(t, k, report(1, 0), index)); (err == nil) != fine {
				t.Errorf("%s: report %d: %v", suite, index, err)
			}
		}
		if in.tryRTCP(sealedRTCP(t, k, report(2, 0), 9)) != nil || in.tryRTCP(b) == nil {
			t.Errorf("%s: reports of two sources are not told apart", suite)
		}
	}
}

func TestForgeries(t *testing.T) {
	for _, suite := range suites {
		k := newKey(suite)
		in := opening(t, k)
		good := sealed(t, k, 1, 7)
		rtcp := sealedRTCP(t, k, report(1, 8), 1)
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1
			if in.try(bad) == nil {
				t.Fatalf("%s: octet %d may be changed", suite, i)
			}
		}
		for n := range good {
			if in.try(good[:n]) == nil {
				t.Fatalf("%s: a packet cut to %d octets was taken", suite, n)
			}
		}
		for i := range rtcp {
			bad := bytes.Clone(rtcp)
			bad[i] ^= 0x80 // at the index this is the E bit
			if in.tryRTCP(bad) == nil {
				t.Fatalf("%s: octet %d of a report may be changed", suite, i)
			}
		}
		for n := range rtcp {
			if in.tryRTCP(rtcp[:n]) == nil {
				t.Fatalf("%s: a report cut to %d octets was taken", suite, n)
			}
		}
		if in.s.in.on || in.s.inRTCP.on || len(in.rtp)+len(in.rtcp) != 0 {
			t.Errorf("%s: a forgery left a stream", suite)
		}
		if in.try(good) != nil || in.tryRTCP(rtcp) != nil {
			t.Errorf("%s: the real ones are not taken after all that", suite)
		}
	}
}

// TestForgedSSRCsKeepNothing is the flood that makes an engine grow that remembers before it authenticates.
func TestForgedSSRCsKeepNothing(t *testing.T) {
	k := newKey(ours.AES128GCM)
	in := opening(t, k)
	if err := in.try(sealed(t, k, 1, 7)); err != nil {
		t.Fatal(err)
	}
	forged := sealed(t, newKey(ours.AES128GCM), 2, 7)
	h, _ := ParseHeader(forged)
	before := onHeap()
	for i := range 20000 {
		h.SSRC = uint32(i + 2)
		binary.BigEndian.PutUint32(forged[8:], h.SSRC)
		if _, ok := in.open(&in.s, forged, h, in.spare[:]); ok {
			t.Fatal("a forged packet was taken")
		}
	}
	if grown := onHeap() - before; grown > 16<<10 {
		t.Errorf("the heap grew by %d B", grown)
	}
	if len(in.rtp) != 0 || in.s.in.ssrc != 1 {
		t.Errorf("%d streams rest, %d is in use", len(in.rtp), in.s.in.ssrc)
	}
}

func TestManySSRCs(t *testing.T) {
	k := newKey(ours.AES128CM80)
	in := opening(t, k)
	first := sealed(t, k, 1, 70000) // in its second rollover for whoever saw the first
	if in.try(sealed(t, k, 1, 65000)) != nil || in.try(first) != nil {
		t.Fatal("the first stream is not taken")
	}
	for ssrc := uint32(2); ssrc <= maxStreams; ssrc++ {
		if in.try(sealed(t, k, ssrc, 1)) != nil || in.tryRTCP(sealedRTCP(t, k, report(ssrc, 0), 5)) != nil {
			t.Fatalf("ssrc %d is not taken", ssrc)
		}
	}
	if in.tryRTCP(sealedRTCP(t, k, report(1, 0), 5)) != nil {
		t.Fatal("the last stream of reports is not taken")
	}
	if in.try(sealed(t, k, 9999, 1)) == nil || in.tryRTCP(sealedRTCP(t, k, report(9999, 0), 5)) == nil {
		t.Error("one SSRC too many")
	}
	if len(in.rtp) != maxStreams-1 || len(in.rtcp) != maxStreams-1 {
		t.Errorf("%d streams of RTP and %d of RTCP rest", len(in.rtp), len(in.rtcp))
	}
	if in.try(first) == nil || in.tryRTCP(sealedRTCP(t, k, report(2, 0), 5)) == nil {
		t.Error("a packet of a stream that rests was taken again")
	}
	if err := in.try(sealed(t, k, 1, 70001)); err != nil {
		t.Errorf("a stream that rested goes on: %v", err)
	}
	if in.try(first) == nil {
		t.Error("its old packet was taken after its return")
	}
}

// TestMKI: a peer that announces an MKI puts it into every packet, RFC 3711 section 3.1.
func TestMKI(t *testing.T) {
	for _, suite := range suites {
		k := newKey(suite)
		tag := map[ours.Suite]int{ours.AES128CM32: 4, ours.AES256CM32: 4, ours.AES128GCM: 0, ours.AES256GCM: 0}
		with := func(b []byte, mki string) []byte {
			n, other := tag[suite]
			if !other {
				n = 10
			}
			at := len(b) - n
			return append(append(bytes.Clone(b[:at]), mki...), b[at:]...)
		}
		said := k
		said.MKI = []byte{0, 0, 1, 2}
		in := opening(t, said)
		if err := in.try(with(sealed(t, k, 1, 1), "\x00\x00\x01\x02")); err != nil {
			t.Errorf("%s: %v", suite, err)
		}
		if in.try(with(sealed(t, k, 1, 2), "\x00\x00\x01\x03")) == nil || in.try(sealed(t, k, 1, 3)) == nil {
			t.Errorf("%s: a packet with another MKI, or none, was taken", suite)
		}
		if k.Same(said) || !said.Same(said.own()) {
			t.Errorf("%s: keys are told apart wrongly", suite)
		}
	}
}

// sender is what goes to a far end under one key, with the slot that holds the stream in use.
type sender struct {
	*outbound
	s slot
}

func sealing(t testing.TB, k Key) *sender {
	t.Helper()
	return &sender{outbound: &outbound{key: k, ctx: sealer(t, k)}}
}

// send seals one packet; under which SSRC it left, and whether it did.
func (s *sender) send(ssrc, ext uint32, fresh bool) ([]byte, uint32, bool) {
	b, ok := s.seal(&s.s, packet(ssrc, uint16(ext), 0, []byte("x")), 12, ssrc, ext, fresh)
	if !ok {
		return nil, 0, false
	}
	return b, binary.BigEndian.Uint32(b[8:]), true
}

func TestOutboundNeverUsesAnIndexTwice(t *testing.T) {
	o := sealing(t, newKey(ours.AES256GCM))
	for _, step := range []struct {
		ext         uint32
		fresh, fine bool
	}{{100, true, true}, {100, false, false}, {102, false, true}, {101, false, true}, {101, false, false}, {400, false, true}, {272, false, false}, {273, false, true}} {
		if _, ssrc, ok := o.send(5, step.ext, step.fresh); ok != step.fine || ok && ssrc != 5 {
			t.Errorf("%d: %x, %v", step.ext, ssrc, ok)
		}
	}
	// The same source starts anew: the numbers come again, under another SSRC.
	_, ssrc, ok := o.send(5, 100, true)
	if !ok || ssrc == 5 {
		t.Errorf("restart: %x, %v", ssrc, ok)
	}
	if o.outgoing(5) != ssrc || o.incoming(ssrc) != 5 || o.incoming(5) != 5 || (*outbound)(nil).outgoing(7) != 7 || (*outbound)(nil).incoming(7) != 7 {
		t.Error("the names do not follow")
	}
	for i := range maxStreams - 2 {
		if _, _, ok = o.send(5, 100, true); !ok {
			t.Fatalf("restart %d is refused", i)
		}
	}
	if _, _, ok = o.send(5, 100, true); ok || len(o.names) != maxStreams {
		t.Errorf("restarts without end: %d names", len(o.names))
	}
}

// TestStreamsThatTakeTurns: more sources than are kept side by side, restarts, and holds in between: no SSRC and index leave twice, whatever comes.
func TestStreamsThatTakeTurns(t *testing.T) {
	for _, lost := range []bool{false, true} {
		o := sealing(t, newKey(ours.AES128CM80))
		o.lost = lost
		type index struct{ ssrc, ext uint32 }
		used := map[index]bool{}
		left := 0
		for round := range uint32(6) {
			for ssrc := range uint32(maxSending + 3) {
				for i := range uint32(5) {
					ext := 1000 + 4*round + i // overlaps the round before by one
					_, out, ok := o.send(ssrc, ext, round == 3 && i == 0)
					if !ok {
						continue
					}
					left++
					if used[index{out, ext}] {
						t.Fatalf("lost %v: %x sends %d twice", lost, out, ext)
					}
					if used[index{out, ext}] = true; lost && out == ssrc {
						t.Fatalf("%x leaves as it came, though another plane may have sent it", ssrc)
					}
				}
			}
		}
		if left < 6*(maxSending+3)*4 {
			t.Errorf("lost %v: %d packets left", lost, left)
		}
	}
}

// TestStreamsRest: streams that take turns, as many as are kept side by side, keep their names.
func TestStreamsRest(t *testing.T) {
	o := sealing(t, newKey(ours.AES128CM80))
	for round := range uint32(3) {
		for ssrc := range uint32(maxSending) {
			if _, out, ok := o.send(ssrc, 100+round, round == 0); !ok || out != ssrc {
				t.Fatalf("round %d: %d leaves as %d, %v", round, ssrc, out, ok)
			}
			if _, _, ok := o.send(ssrc, 100+round, false); ok {
				t.Fatalf("round %d: %d sends an index twice", round, ssrc)
			}
		}
	}
	if len(o.names) != maxSending || len(o.sends) != maxSending-1 {
		t.Errorf("%d names, %d rest", len(o.names), len(o.sends))
	}
}

// TestReportsInClearAreRefused: authentic, but the E bit says that it is not encrypted, which nobody agreed to.
func TestReportsInClearAreRefused(t *testing.T) {
	k := newKey(ours.AES128CM80)
	// RFC 3711 section 4.3.1, label 4: the authentication key of SRTCP.
	iv := make([]byte, 16)
	copy(iv, k.Master[16:])
	iv[7] ^= 4
	block, err := aes.NewCipher(k.Master[:16])
	if err != nil {
		t.Fatal(err)
	}
	auth := make([]byte, 20)
	cipher.NewCTR(block, iv).XORKeyStream(auth, auth)
	for _, open := range []bool{true, false} {
		b := append(report(1, 8), 0, 0, 0, 5)
		if !open {
			b = sealedRTCP(t, k, report(1, 8), 5)[:20]
		}
		m := hmac.New(sha1.New, auth)
		m.Write(b)
		if err := opening(t, k).tryRTCP(append(b, m.Sum(nil)[:10]...)); (err != nil) != open {
			t.Errorf("in clear %v: %v", open, err)
		}
	}
}

// TestRolloverStaysInStep: what a receiver can't follow, a late packet before the first or half the numbers skipped, never leaves as it came.
// Conforms: RFC 3711 section 3.3.1
func TestRolloverStaysInStep(t *testing.T) {
	for _, suite := range suites {
		k := newKey(suite)
		o, in := sealing(t, k), opening(t, k)
		for i, step := range []struct {
			ext  uint32
			fine bool
		}{
			{2, true},
			{^uint32(0), false}, // 65535 of the rollover before the first
			{3, true},
			{16000, true},
			{32000, true},
			{32001, true},
			{48000, true},
			{60000, true},
			{65535, true},
			{65537, true},
			{65536, true},
			{65537 + 40000, true},
			{65537 + 40001, true}, // after a hold of 13 minutes
			{65537 + 120000, true},
			{65537 + 120001, true},
		} {
			b, _, ok := o.send(5, step.ext, i == 0)
			if ok != step.fine {
				t.Fatalf("%s: %d: %v", suite, step.ext, ok)
			}
			if ok && in.try(b) != nil {
				t.Fatalf("%s: %d does not open", suite, step.ext)
			}
		}
		if len(in.rtp) != 2 || len(o.names) != 3 {
			t.Errorf("%s: %d streams come, %d went", suite, len(in.rtp)+1, len(o.names))
		}
	}
}

// TestStrayPackets: a packet whose number is far off leaves under no index before the next one says that the source began anew, and then under another SSRC.
func TestStrayPackets(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(0, ours.AES128CM80)
	far := pion(t, bob.out)
	alice.crosses(bob, 5)
	alice.ext += 20000
	if alice.crosses(bob, 1) != 0 || b.Totals().Dropped != 0 {
		t.Error("a stray packet leaves")
	}
	if alice.crosses(bob, 3) != 3 || binary.BigEndian.Uint32(bob.rtp.last[8:]) == alice.ssrc {
		t.Error("a source that began anew goes on as it was")
	}
	if _, err := far.DecryptRTP(nil, bob.rtp.last, nil); err != nil {
		t.Error(err)
	}
}

// TestFirstPacketAroundTheWrap: a stream whose first packet that is seen lies behind a wrap that nobody saw is at counter 1, and goes on there.
// Conforms: RFC 3711 section 3.3.1
func TestFirstPacketAroundTheWrap(t *testing.T) {
	for _, suite := range suites {
		for _, exts := range [][]uint32{
			{0, 1, 20000, 40000, 60000, 65535, 65536},
			{65535, 65536, 65537},
			{65536, 65537, 65538},
			{65537, 65535, 65536}, // the one before the wrap comes late
			{65536 + 300, 65536 + 299, 65536 + 301},
			{32768, 65535, 65536 + 10},
			{32767, 40000, 65535, 65536},
		} {
			k := newKey(suite)
			in := opening(t, k)
			if in.try(sealed(t, newKey(suite), 1, exts[0])) == nil || in.s.in.on {
				t.Fatal("a forgery decides where it begins")
			}
			for _, ext := range exts {
				if in.try(sealed(t, k, 1, ext)) != nil {
					t.Errorf("%s, begun at %d: %d does not open", suite, exts[0], ext)
				}
			}
			for _, ext := range exts[len(exts)-3:] {
				if in.try(sealed(t, k, 1, ext)) == nil {
					t.Errorf("%s, begun at %d: %d comes again", suite, exts[0], ext)
				}
			}
		}
	}
}

// TestANewKeyStartsAtZero: the numbers of a stream go on when the keys change in its second round of them, and its rollover counter begins anew, on both sides.
func TestANewKeyStartsAtZero(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(ours.AES128CM80, ours.AES128GCM)
	alice.ext = 65500
	if n := alice.crosses(bob, 100); n != 100 {
		t.Fatalf("%d of 100 cross under the first keys", n)
	}
	alice.in, bob.out = newKey(ours.AES256GCM), newKey(ours.AES128CM80)
	alice.seal = sealer(t, alice.in)
	alice.ext &= 0xffff
	b.Set(alice.set())
	b.Set(bob.set())
	far := pion(t, bob.out)
	for range 50 {
		if alice.crosses(bob, 1) != 1 {
			t.Fatal("a packet under the new key does not cross")
		}
		if _, err := far.DecryptRTP(nil, bob.rtp.last, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAKeyThatComesBack: forks and re-keying go to and fro between keys. Each finds its streams and its rollover counter; a new key starts at 0.
// Conforms: RFC 3711 section 3.3.1
func TestAKeyThatComesBack(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(ours.AES128CM80, ours.AES256GCM)
	type state struct {
		in, out Key
		ext     uint64
		far     *opener // of what bob gets
	}
	states := []*state{{in: alice.in, out: bob.out}, {in: newKey(ours.AES128GCM), out: newKey(ours.AES128CM32)}}
	total := 0
	for round := range 3 {
		for i, s := range states {
			if s.far == nil {
				s.far, s.ext = opening(t, s.out), 65000
			}
			alice.in, bob.out = s.in, s.out
			b.Set(alice.set())
			b.Set(bob.set())
			alice.seal, alice.ssrc = sealer(t, s.in), uint32(0x5500+i)
			replayed := []byte(nil)
			for range 300 { // the first 300 do not reach the wrap, the next do
				alice.ext = s.ext
				p := alice.next()
				if s.ext++; len(replayed) == 0 {
					replayed = bytes.Clone(p)
				}
				was := bob.rtp.sent
				alice.rtp.take(p, alice.at)
				if bob.rtp.sent != was+1 {
					t.Fatalf("round %d, key %d: packet %d does not cross", round, i, s.ext-1)
				}
				if s.far.try(bob.rtp.last) != nil {
					t.Fatalf("round %d, key %d: packet %d does not open behind the relay", round, i, s.ext-1)
				}
				total++
			}
			was := bob.rtp.sent
			alice.rtp.take(replayed, alice.at)
			if bob.rtp.sent != was {
				t.Fatalf("round %d, key %d: a replay crosses", round, i)
			}
		}
	}
	if c := b.read(alice.Ref); c.Packets != uint64(total) || c.Refused != 6 {
		t.Errorf("%d packets, %d refused of %d", c.Packets, c.Refused, total)
	}
}

// TestKeysAreBounded: the keys of a far end that were used longest ago are forgotten; our own are not, because their indexes were used.
func TestKeysAreBounded(t *testing.T) {
	b := newBed(t, Config{})
	alice, _ := b.call(ours.AES128CM80, 0)
	first := alice.in
	alice.rtp.take(alice.next(), alice.at)
	for range 2 * maxKeys {
		alice.in, alice.out = newKey(ours.AES128CM80), newKey(ours.AES128CM80)
		b.Set(alice.set())
	}
	w := b.worker(1)
	l, _ := w.of(alice.Ref)
	if len(l.ins) != maxKeys || len(l.outs) != 2*maxKeys+1 {
		t.Errorf("%d keys of the far end, %d of ours", len(l.ins), len(l.outs))
	}
	for _, in := range l.ins {
		if in.key.Same(first) {
			t.Error("the oldest key is kept")
		}
	}
	// A giver may overwrite what it gave.
	given := alice.in
	clear(given.Master)
	if l.theirs.key.Same(given) {
		t.Error("the key is the giver's memory")
	}
}

// TestIndexOfReports: the index of our SRTCP goes up by one, and a key that comes back goes on where it was.
func TestIndexOfReports(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(0, ours.AES128CM80)
	one, two := bob.out, newKey(ours.AES128CM80)
	far := map[string]*srtp.Context{string(one.Master): pion(t, one), string(two.Master): pion(t, two)}
	seen := map[string][]uint32{}
	for _, k := range []Key{one, one, two, one, two, two, one} {
		bob.out = k
		b.Set(bob.set())
		was := bob.rtcp.sent
		alice.rtcp.take(report(alice.ssrc, 0), port(alice.at, alice.at.Port()+1))
		if bob.rtcp.sent != was+1 {
			t.Fatal("a report does not cross")
		}
		sealed := bob.rtcp.last
		if _, err := far[string(k.Master)].DecryptRTCP(nil, sealed, nil); err != nil {
			t.Fatal(err)
		}
		index := binary.BigEndian.Uint32(sealed[len(sealed)-14:]) &^ (1 << 31)
		seen[string(k.Master)] = append(seen[string(k.Master)], index)
	}
	for k, all := range seen {
		for i, index := range all {
			if int(index) != i {
				t.Errorf("key %x: indexes %v", k[:4], all)
			}
		}
	}
}
