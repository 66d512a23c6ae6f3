package srtp

import (
	"fmt"
	"testing"
)

// BenchmarkRTP seals and opens packets of 160 bytes of payload, under one key and in turn under 2000.
func BenchmarkRTP(b *testing.B) {
	for s := AES128CM80; s <= AES256GCM; s++ {
		for _, sessions := range []int{1, 2000} {
			all, sealed := make([]*Context, sessions), make([][]byte, sessions)
			clear, header := packet(ssrc, 5, 0, 0, 160)
			for i := range all {
				all[i] = newPair(b, s, uint64(i), nil).ours
				sealed[i] = all[i].SealRTP(make([]byte, 200), clear, header, 5)
			}
			room := make([]byte, 200)
			b.Run(fmt.Sprintf("seal/%s/%d", s, sessions), func(b *testing.B) {
				b.ReportAllocs()
				for n := range b.N {
					all[n%sessions].SealRTP(room, clear, header, 5)
				}
			})
			b.Run(fmt.Sprintf("open/%s/%d", s, sessions), func(b *testing.B) {
				b.ReportAllocs()
				for n := range b.N {
					if _, ok := all[n%sessions].OpenRTP(room, sealed[n%sessions], header, 5); !ok {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}

// BenchmarkNew makes the keys of a session.
func BenchmarkNew(b *testing.B) {
	for s := AES128CM80; s <= AES256GCM; s++ {
		n, m := s.Lengths()
		key := noise(1, n+m)
		b.Run(s.String(), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := New(s, key[:n], key[n:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
