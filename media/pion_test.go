package media

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/pion/srtp/v2"

	"github.com/cordonsip/cordon/media/plane"
)

const maxPacket = 2048

// The far ends of these tests speak SRTP by somebody else's code, which the plane is held against.

// profile of a suite.
func profile(s Suite) srtp.ProtectionProfile {
	switch s {
	case AEAD_AES_256_GCM:
		return srtp.ProtectionProfileAeadAes256Gcm
	case AEAD_AES_128_GCM:
		return srtp.ProtectionProfileAeadAes128Gcm
	case AES_256_CM_SHA1_80:
		return srtp.ProtectionProfileAes256CmHmacSha1_80
	case AES_CM_128_HMAC_SHA1_32:
		return srtp.ProtectionProfileAes128CmHmacSha1_32
	}
	return srtp.ProtectionProfileAes128CmHmacSha1_80
}

func pion(t testing.TB, c crypto) *srtp.Context {
	t.Helper()
	n, _ := c.suite.lengths()
	return ok(srtp.CreateContext(c.key[:n], c.key[n:], profile(c.suite), srtp.SRTPReplayProtection(128), srtp.SRTCPReplayProtection(128)))(t)
}

// refRTP protects one packet under c.
func refRTP(t testing.TB, c crypto, b []byte, roc uint32) []byte {
	t.Helper()
	ctx := pion(t, c)
	ctx.SetROC(binary.BigEndian.Uint32(b[8:]), roc)
	return ok(ctx.EncryptRTP(nil, b, nil))(t)
}

// refRTCP protects one compound packet under c.
func refRTCP(t testing.TB, c crypto, b []byte, index uint32) []byte {
	t.Helper()
	ctx := pion(t, c)
	ctx.SetIndex(binary.BigEndian.Uint32(b[4:]), index-1) // of the one before
	return ok(ctx.EncryptRTCP(nil, b, nil))(t)
}

// inbound opens what the relay sent under one key.
type inbound struct {
	t    testing.TB
	ctx  *srtp.Context
	live []uint32 // SSRCs, in the order in which they came
}

func opening(t testing.TB, c crypto) *inbound {
	t.Helper()
	return &inbound{t: t, ctx: pion(t, c)}
}

// openRTP gives the whole packet in clear.
func (in *inbound) openRTP(b []byte) ([]byte, error) {
	h, is := plane.ParseHeader(b)
	if !is {
		return nil, errors.New("no RTP")
	}
	out, err := in.ctx.DecryptRTP(nil, b, nil)
	if err != nil {
		return nil, err
	}
	for _, known := range in.live {
		if known == h.SSRC {
			return out, nil
		}
	}
	in.live = append(in.live, h.SSRC)
	return out, nil
}

func (in *inbound) openRTCP(b []byte) ([]byte, error) { return in.ctx.DecryptRTCP(nil, b, nil) }

// packet makes an RTP packet of PCMA.
func packet(ssrc uint32, seq uint16, ts uint32, payload []byte) []byte {
	b := make([]byte, 12, 12+len(payload))
	rtpHeader(b, seq, ts, ssrc, false)
	return append(b, payload...)
}

// report makes an empty receiver report with n octets (a multiple of 4) of profile extension.
func report(ssrc uint32, n int) []byte {
	b := []byte{0x80, 201, 0, byte(1 + n/4)}
	b[2] = byte((1 + n/4) >> 8)
	return append(binary.BigEndian.AppendUint32(b, ssrc), make([]byte, n)...)
}

// sealed protects one packet under c.
func sealed(t testing.TB, c crypto, ssrc, ext uint32) []byte {
	t.Helper()
	return refRTP(t, c, packet(ssrc, uint16(ext), 0, []byte("speech")), ext>>16)
}
