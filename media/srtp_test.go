package media

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"errors"
	"runtime"
	"strconv"
	"testing"
)

// sealed protects one packet under c by the reference.
func sealed(t testing.TB, c crypto, ssrc uint32, ext uint32) []byte {
	t.Helper()
	return refRTP(t, c, packet(ssrc, uint16(ext), 0, []byte("speech")), ext>>16)
}

func (in *inbound) try(b []byte) error {
	h, ok := parseHeader(b)
	if !ok {
		return errors.New("no RTP")
	}
	_, err := in.openRTP(make([]byte, maxPacket+headroom), b, h)
	return err
}

// Conforms: RFC 3711 section 3.3.2
func TestReplay(t *testing.T) {
	for _, suite := range defaultSuites() {
		c := newCrypto("1", suite)
		in := &inbound{key: c}
		for _, step := range []struct {
			ext  uint32
			fine bool
		}{{1000, true}, {1000, false}, {1002, true}, {1001, true}, {1001, false}, {1200, true}, {1073, true}, {1072, false}, {1002, false}} {
			if err := in.try(sealed(t, c, 1, step.ext)); (err == nil) != step.fine {
				t.Errorf("%s: %d: %v", suite, step.ext, err)
			}
		}
		b := refRTCP(t, c, report(1, 0), 9)
		buf := make([]byte, 200)
		if _, err := in.openRTCP(buf, b); err != nil {
			t.Errorf("%s: rtcp: %v", suite, err)
		}
		if _, err := in.openRTCP(buf, b); err == nil {
			t.Errorf("%s: a replayed report was taken", suite)
		}
	}
}

func TestForgeries(t *testing.T) {
	for _, suite := range defaultSuites() {
		c := newCrypto("1", suite)
		in := &inbound{key: c}
		good := sealed(t, c, 1, 7)
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
		rtcp := refRTCP(t, c, report(1, 8), 1)
		buf := make([]byte, 200)
		for i := range rtcp {
			bad := bytes.Clone(rtcp)
			bad[i] ^= 0x80 // at the index this is the E bit
			if _, err := in.openRTCP(buf, bad); err == nil {
				t.Fatalf("%s: octet %d of a report may be changed", suite, i)
			}
		}
		for n := 8; n < len(rtcp); n++ {
			if _, err := in.openRTCP(buf, rtcp[:n]); err == nil {
				t.Fatalf("%s: a report cut to %d octets was taken", suite, n)
			}
		}
		if err := in.try(good); err != nil {
			t.Errorf("%s: after all that: %v", suite, err)
		}
	}
}

// TestForgedSSRCsKeepNothing is the flood that made the engine grow without bound.
func TestForgedSSRCsKeepNothing(t *testing.T) {
	c := newCrypto("1", AEAD_AES_128_GCM)
	in := &inbound{key: c}
	if err := in.try(sealed(t, c, 1, 7)); err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	forged := sealed(t, newCrypto("1", AEAD_AES_128_GCM), 2, 7)
	before := heap()
	for i := range 20000 {
		forged[8], forged[9], forged[10] = byte(i>>16), byte(i>>8), byte(i)
		if in.try(forged) == nil {
			t.Fatal("a forged packet was taken")
		}
	}
	if len(in.rtp.live) != 1 || len(in.rtp.retired) != 0 {
		t.Errorf("%d live, %d retired", len(in.rtp.live), len(in.rtp.retired))
	}
	if after := heap(); after > before+256<<10 {
		t.Errorf("the heap grew by %d KiB", (after-before)>>10)
	}
}

func TestManySSRCs(t *testing.T) {
	c := newCrypto("1", AES_CM_128_HMAC_SHA1_80)
	in := &inbound{key: c}
	first := sealed(t, c, 1, 70000) // in its second rollover for whoever saw the first
	in.try(sealed(t, c, 1, 65000))
	if err := in.try(first); err != nil {
		t.Fatal(err)
	}
	for ssrc := uint32(2); ssrc <= maxStreams+maxRetired; ssrc++ {
		if err := in.try(sealed(t, c, ssrc, 1)); err != nil {
			t.Fatalf("ssrc %d: %v", ssrc, err)
		}
	}
	if err := in.try(sealed(t, c, 9999, 1)); !errors.Is(err, errStreams) {
		t.Errorf("one SSRC too many: %v", err)
	}
	if err := in.try(first); !errors.Is(err, errReplay) {
		t.Errorf("a packet of a retired stream: %v", err)
	}
	if err := in.try(sealed(t, c, 1, 70001)); err != nil {
		t.Errorf("a retired stream that goes on: %v", err)
	}
	if err := in.try(first); err == nil {
		t.Error("its old packet was taken after its return")
	}
}

// TestMKI: a peer that announces an MKI puts it into every packet, RFC 3711 section 3.1.
// Conforms: RFC 4568 section 6.1
func TestMKI(t *testing.T) {
	for _, suite := range defaultSuites() {
		k := newCrypto("1", suite)
		c := parseCrypto(k.String() + "|2^31|258:4")
		if c.suite != suite || !bytes.Equal(c.mki, []byte{0, 0, 1, 2}) {
			t.Fatalf("%s: %+v", suite, c)
		}
		with := func(b []byte, mki string) []byte {
			at := len(b)
			if !isGCM(suite) {
				at -= 10
				if suite == AES_CM_128_HMAC_SHA1_32 {
					at += 6
				}
			}
			return append(append(bytes.Clone(b[:at]), mki...), b[at:]...)
		}
		in := &inbound{key: c}
		if err := in.try(with(sealed(t, k, 1, 1), "\x00\x00\x01\x02")); err != nil {
			t.Errorf("%s: %v", suite, err)
		}
		if in.try(with(sealed(t, k, 1, 2), "\x00\x00\x01\x03")) == nil || in.try(sealed(t, k, 1, 3)) == nil {
			t.Errorf("%s: a packet with another MKI, or none, was taken", suite)
		}
	}
}

func TestOutboundNeverUsesAnIndexTwice(t *testing.T) {
	o, err := newOutbound(newCrypto("1", AEAD_AES_256_GCM))
	if err != nil {
		t.Fatal(err)
	}
	send := func(ext uint32, fresh bool) (uint32, error) {
		b, err := o.sealRTP(make([]byte, 500), packet(5, uint16(ext), 0, []byte("x")), 5, ext, fresh)
		if err != nil {
			return 0, err
		}
		h, _ := parseHeader(b)
		return h.ssrc, nil
	}
	for _, step := range []struct {
		ext         uint32
		fresh, fine bool
	}{{100, true, true}, {100, false, false}, {102, false, true}, {101, false, true}, {101, false, false}, {400, false, true}, {272, false, false}, {273, false, true}} {
		if ssrc, err := send(step.ext, step.fresh); (err == nil) != step.fine || err == nil && ssrc != 5 {
			t.Errorf("%d: %x, %v", step.ext, ssrc, err)
		}
	}
	// The same source starts anew: the numbers come again, under another SSRC.
	ssrc, err := send(100, true)
	if err != nil || ssrc == 5 {
		t.Errorf("restart: %x, %v", ssrc, err)
	}
	if o.outgoing(5) != ssrc || o.incoming(ssrc) != 5 || o.incoming(5) != 5 || (*outbound)(nil).outgoing(7) != 7 {
		t.Error("the names do not follow")
	}
	for i := range maxStreams + maxRetired {
		if _, err = send(100, true); err != nil && i != maxStreams+maxRetired-2 && !errors.Is(err, errStreams) {
			t.Fatalf("restart %d: %v", i, err)
		}
	}
	if !errors.Is(err, errStreams) {
		t.Errorf("restarts without end: %v", err)
	}
}

// Conforms: RFC 4568 section 9.2
func TestParseCrypto(t *testing.T) {
	k30, k44, k46 := newCrypto("1", AES_CM_128_HMAC_SHA1_80), newCrypto("1", AEAD_AES_256_GCM), newCrypto("1", AES_256_CM_SHA1_80)
	bare := func(c crypto) string {
		s := c.String()
		for s[len(s)-1] == '=' {
			s = s[:len(s)-1]
		}
		return s
	}
	for v, suite := range map[string]Suite{
		k30.String():                             AES_CM_128_HMAC_SHA1_80,
		k44.String():                             AEAD_AES_256_GCM,
		bare(k44):                                AEAD_AES_256_GCM,
		bare(k46):                                AES_256_CM_SHA1_80,
		bare(k46) + "=":                          AES_256_CM_SHA1_80,
		k30.String() + "|2^20":                   AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|1048576":                AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|2^20|1:4":               AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|1:4":                    AES_CM_128_HMAC_SHA1_80,
		k30.String() + " WSH=128":                AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|0":                      "",
		k30.String() + "|2^49":                   "",
		k30.String() + "|2^20|300:1":             "",
		k30.String() + "|2^20|1:4|9":             "",
		k30.String() + "|2^20|x":                 "",
		k30.String() + ";inline:AAAA":            "",
		k30.String() + " KDR=1":                  "",
		k30.String() + " UNENCRYPTED_SRTCP":      "",
		k30.String() + " UNAUTHENTICATED_SRTP":   "",
		k30.String() + " FEC_ORDER=FEC_SRTP":     "",
		"1 AES_192_CM_HMAC_SHA1_80 inline:AAAA":  "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:AAAA":  "",
		"1 AES_CM_128_HMAC_SHA1_80 uri:whatever": "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:!!!!":  "",
		"x AES_CM_128_HMAC_SHA1_80 inline:AAAA":  "",
		"1 AES_CM_128_HMAC_SHA1_80":              "",
		"":                                       "",
	} {
		if got := parseCrypto(v).suite; got != suite {
			t.Errorf("%q: suite %q, want %q", v, got, suite)
		}
	}
	for _, s := range defaultSuites() {
		k, salt := s.lengths()
		if c := newCrypto(strconv.Itoa(k), s); len(c.key) != k+salt || !parseCrypto(c.String()).same(c) {
			t.Errorf("%s does not come back", s)
		}
	}
}

// TestReportsInClearAreRefused: authentic, but the E bit says that it is not encrypted, which nobody agreed to.
func TestReportsInClearAreRefused(t *testing.T) {
	c := newCrypto("1", AES_CM_128_HMAC_SHA1_80)
	for _, clear := range []bool{true, false} {
		b := append(report(1, 8), 0, 0, 0, 5)
		if !clear {
			b = refRTCP(t, c, report(1, 8), 5)[:20]
		}
		m := hmac.New(sha1.New, derive(t, c.key[:16], c.key[16:], 4, 20))
		m.Write(b)
		_, err := (&inbound{key: c}).openRTCP(make([]byte, 200), append(b, m.Sum(nil)[:10]...))
		if (err != nil) != clear {
			t.Errorf("in clear %v: %v", clear, err)
		}
	}
}

// TestRolloverStaysInStep: what a receiver can't follow, a late packet before the first or half the numbers skipped, never leaves as it came.
// Conforms: RFC 3711 section 3.3.1
func TestRolloverStaysInStep(t *testing.T) {
	for _, suite := range defaultSuites() {
		c := newCrypto("1", suite)
		o, err := newOutbound(c)
		if err != nil {
			t.Fatal(err)
		}
		in := &inbound{key: c}
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
			b := packet(5, uint16(step.ext), 0, []byte{byte(i)})
			out, err := o.sealRTP(make([]byte, 500), b, 5, step.ext, i == 0)
			if (err == nil) != step.fine {
				t.Fatalf("%s: %d: %v", suite, step.ext, err)
			}
			if err != nil {
				continue
			}
			if err := in.try(out); err != nil {
				t.Fatalf("%s: %d does not open: %v", suite, step.ext, err)
			}
		}
		if len(in.rtp.live) != 3 {
			t.Errorf("%s: %d streams", suite, len(in.rtp.live))
		}
	}
}

func TestIndexOfLatePackets(t *testing.T) {
	for _, c := range []struct {
		highest uint64
		seq     uint16
		roc     uint32
		want    uint64
	}{
		{65535, 0, 1, 65536}, {65538, 65535, 1, 65535}, {65538, 1, 1, 65537}, {65538, 3, 1, 65539}, {5, 3, 0, 3}, {5, 40000, 0, 40000},
	} {
		s := stream{highest: c.highest, used: 1}
		if got := s.index(c.seq, c.roc); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
