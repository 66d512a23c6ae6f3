package dtls

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
)

// rsaCertificate is what an older peer has.
func rsaCertificate(t testing.TB) (tls.Certificate, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, der
}

// foreign runs our side as role against a peer made of pion alone, with those options, and gives what both got.
func foreign(t *testing.T, role Role, announced []Fingerprint, own Certificate, options ...dtls.ServerOption) (ours result, theirs []byte, err error) {
	t.Helper()
	done := make(chan result, 1)
	var h *Handshake
	peer := newPipe(func(b []byte) { h.Feed(bytes.Clone(b)) })
	h, err = Start(Config{
		Role: role, Certificate: own, Peer: announced, Send: func(b []byte) { peer.put(b) },
		Done: func(k Keys, err error) { done <- result{k, err} },
	})
	if err != nil {
		t.Fatal(err)
	}
	var conn *dtls.Conn
	if role == Client {
		conn, err = dtls.ServerWithOptions(peer, far{}, append(options, dtls.WithClientAuth(dtls.RequireAnyClientCert))...)
	} else {
		client := []dtls.ClientOption{dtls.WithInsecureSkipVerify(true)}
		for _, o := range options {
			client = append(client, o.(dtls.ClientOption))
		}
		conn, err = dtls.ClientWithOptions(peer, far{}, client...)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = conn.HandshakeContext(ctx)
	ours = <-done
	if state, ok := conn.ConnectionState(); ok && err == nil {
		theirs, _ = state.ExportKeyingMaterial(exporter, nil, 60)
	}
	return ours, theirs, err
}

// The keys are cut out of what the exporter gives as RFC 5764 section 4.2 has it, whoever is the client.
func TestAgainstPionItself(t *testing.T) {
	for _, role := range []Role{Client, Server} {
		synctest.Test(t, func(t *testing.T) {
			peer, own := certificate(t), certificate(t)
			ours, b, err := foreign(t, role, []Fingerprint{peer.Fingerprint()}, own, dtls.WithCertificates(peer.pair),
				dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80))
			if err != nil || ours.err != nil || len(b) != 60 {
				t.Fatalf("ours: %v; pion's: %v", ours.err, err)
			}
			client, server := Master{b[:16], b[32:46]}, Master{b[16:32], b[46:60]}
			want := Keys{srtp.AES128CM80, client, server}
			if role == Server {
				want = Keys{srtp.AES128CM80, server, client}
			}
			for name, pair := range map[string][2]Master{"ours": {ours.keys.Ours, want.Ours}, "theirs": {ours.keys.Theirs, want.Theirs}} {
				if !bytes.Equal(pair[0].Key, pair[1].Key) || !bytes.Equal(pair[0].Salt, pair[1].Salt) {
					t.Errorf("role %d: %s is another master key", role, name)
				}
			}
		})
	}
}

func TestPeersOfOtherKinds(t *testing.T) {
	with := dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	old, der := rsaCertificate(t)
	silent := dtls.WithServerHelloMessageHook(func(hello handshake.MessageServerHello) handshake.Message {
		hello.Extensions = slices.DeleteFunc(hello.Extensions, func(e extension.Extension) bool { return e.TypeValue() == extension.UseSRTPTypeValue })
		return &hello
	})
	for _, c := range []struct {
		name    string
		role    Role
		options []dtls.ServerOption
		want    Reason // "" for success
	}{
		{"a client with RSA", Server, []dtls.ServerOption{with, dtls.WithCertificates(old)}, ""},
		{"a server with RSA", Client, []dtls.ServerOption{with, dtls.WithCertificates(old)}, ""},
		{"a client without a certificate", Server, []dtls.ServerOption{with}, Protocol},
		{"a client that doesn't speak of SRTP", Server, []dtls.ServerOption{dtls.WithCertificates(old)}, Profile},
		{"a server that has no SRTP", Client, []dtls.ServerOption{dtls.WithCertificates(old)}, Alert},
		{"a server that doesn't speak of SRTP", Client, []dtls.ServerOption{with, dtls.WithCertificates(old), silent}, Profile},
		{"a client with a profile that is nobody's", Server, []dtls.ServerOption{dtls.WithCertificates(old), dtls.WithSRTPProtectionProfiles(dtls.SRTP_NULL_HMAC_SHA1_80)}, Profile},
		{"a client without extended master secret", Server, []dtls.ServerOption{with, dtls.WithCertificates(old), dtls.WithExtendedMasterSecret(dtls.DisableExtendedMasterSecret)}, Protocol},
		{"a server without extended master secret", Client, []dtls.ServerOption{with, dtls.WithCertificates(old), dtls.WithExtendedMasterSecret(dtls.DisableExtendedMasterSecret)}, Protocol},
		{"a client with CBC alone", Server, []dtls.ServerOption{with, dtls.WithCertificates(old), dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA)}, Protocol},
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, _, err := foreign(t, c.role, []Fingerprint{Fingerprint("sha-512 x").of(der)}, certificate(t), c.options...)
			if reason(ours.err) != c.want || (ours.err == nil) != (ours.keys.Suite != 0) {
				t.Errorf("%s: ours: %v; the peer's: %v", c.name, ours.err, err)
			}
			if c.want == "" && err != nil {
				t.Errorf("%s: the peer: %v", c.name, err)
			}
		})
	}
}

// MKIs are of use to nobody here: a client that offers one gets none back, RFC 5764 section 4.1.3.
func TestNoMKI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := certificate(t)
		ours, _, err := foreign(t, Server, []Fingerprint{peer.Fingerprint()}, certificate(t), dtls.WithCertificates(peer.pair),
			dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80), dtls.WithSRTPMasterKeyIdentifier([]byte("mki")))
		if err != nil || ours.err != nil {
			t.Fatalf("ours: %v; pion's: %v", ours.err, err)
		}
	})
}
