package main

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/cordonsip/cordon/media/srtp"
	pion "github.com/pion/srtp/v2"
)

var suites = []struct {
	ours srtp.Suite
	pion pion.ProtectionProfile
}{
	{srtp.AES128CM80, pion.ProtectionProfileAes128CmHmacSha1_80},
	{srtp.AES128CM32, pion.ProtectionProfileAes128CmHmacSha1_32},
	{srtp.AES256CM80, pion.ProtectionProfileAes256CmHmacSha1_80},
	{srtp.AES256CM32, pion.ProtectionProfileAes256CmHmacSha1_32},
	{srtp.AES128GCM, pion.ProtectionProfileAeadAes128Gcm},
	{srtp.AES256GCM, pion.ProtectionProfileAeadAes256Gcm},
}

const header = 12

// session is one stream under a key of its own, in both implementations, with a packet of it in clear and sealed.
type session struct {
	ours          *srtp.Context
	window        srtp.Window
	pions         *pion.Context
	clear, sealed []byte
}

// sides makes n sessions, and gives what does one packet of session i in each implementation. Both keep the rollover state of the stream; neither refuses
// replays, because the same packet is opened again and again. Both write into one buffer that is used by all sessions, as a relay does.
func sides(s suite, n, payload int, does string) (ours, pions func(i int), err error) {
	all := make([]session, n)
	for i := range all {
		if all[i], err = newSession(s, uint32(i), payload); err != nil {
			return nil, nil, err
		}
	}
	room := make([]byte, 0, header+payload+srtp.Overhead)
	if does == "seal" {
		return func(i int) {
				a := &all[i]
				index := a.window.Guess(binary.BigEndian.Uint16(a.clear[2:]))
				a.ours.SealRTP(room, a.clear, header, index)
			}, func(i int) {
				a := &all[i]
				if _, err := a.pions.EncryptRTP(room, a.clear, nil); err != nil {
					panic(err) // it sealed this packet before
				}
			}, nil
	}
	return func(i int) {
			a := &all[i]
			index := a.window.Guess(binary.BigEndian.Uint16(a.sealed[2:]))
			a.window.Fresh(index)
			if _, ok := a.ours.OpenRTP(room, a.sealed, header, index); !ok {
				panic("a packet of our own is refused")
			}
			a.window.Take(index)
		}, func(i int) {
			a := &all[i]
			if _, err := a.pions.DecryptRTP(room, a.sealed, nil); err != nil {
				panic(err)
			}
		}, nil
}

type suite = struct {
	ours srtp.Suite
	pion pion.ProtectionProfile
}

func newSession(s suite, ssrc uint32, payload int) (a session, err error) {
	n, m := s.ours.Lengths()
	key := make([]byte, n+m)
	rand.Read(key)
	if a.ours, err = srtp.New(s.ours, key[:n], key[n:]); err != nil {
		return a, err
	}
	if a.pions, err = pion.CreateContext(key[:n], key[n:], s.pion); err != nil {
		return a, err
	}
	a.clear = make([]byte, header+payload)
	rand.Read(a.clear)
	a.clear[0], a.clear[1] = 0x80, 8
	binary.BigEndian.PutUint32(a.clear[8:], ssrc)
	a.sealed, err = a.pions.EncryptRTP(nil, a.clear, nil)
	return a, err
}
