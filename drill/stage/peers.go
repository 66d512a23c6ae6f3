package stage

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
)

// certificates makes the authority of the sandbox, which nothing outside it trusts, and the certificate of its node.
func (s *Stage) certificates() (*carrier.CA, error) {
	ca, err := carrier.NewCA()
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	names := []string{s.node.String()}
	for _, list := range [][]configs.Party{s.from.File.Trunks, s.from.File.EdgeGroups} {
		for _, p := range list {
			if p.Contact != "" && !slices.Contains(names, p.Contact) {
				names = append(names, p.Contact)
			}
		}
	}
	pair, err := ca.Issue(names...)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	var chain bytes.Buffer
	for _, c := range pair.Certificate {
		chain.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c}))
	}
	for name, data := range map[string][]byte{
		fileCert: chain.Bytes(), fileKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		fileRoots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Root().Raw}),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o600); err != nil {
			return nil, fmt.Errorf("stage: %w", err)
		}
	}
	return ca, nil
}

// peer binds one stand-in. n tells it from the others.
func (s *Stage) peer(c Config, ca *carrier.CA, x *stand, n int) (*carrier.Peer, error) {
	p := s.party(x)
	pair, err := ca.Issue(x.names(p)...)
	if err != nil {
		return nil, err
	}
	cfg := carrier.Config{
		Name: "stand-in", Net: s.beyond, Addr: x.addr, Proto: x.transport, MediaAddr: x.addr.Addr(), Domain: p.Domain, ServerName: s.node.String(),
		TLS:  &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: ca.Pool(), ClientCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
		SRTP: slices.Contains([]string{"", "srtp", "dtls"}, p.Media.Security), Suites: p.Media.Suites, Pace: c.Pace,
	}
	if c.Seed != 0 {
		cfg.Seed = c.Seed<<8 + uint64(n) + 1
	}
	if p.TLS.CertFile != "" { // production shows a certificate, so it is asked for one
		cfg.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if p.Register != nil {
		if cfg.Registrar, err = s.registrar(p); err != nil {
			return nil, err
		}
	}
	return carrier.New(cfg)
}

// registrar takes the registrations of the node, with the sandbox's own password where production has one, by an algorithm that both know.
func (s *Stage) registrar(p *configs.Party) (*carrier.Registrar, error) {
	r := &carrier.Registrar{Expires: 300}
	weak := false
	if p.Digest != nil && len(p.Digest.Algorithms) > 0 && !slices.Contains(p.Digest.Algorithms, "SHA-256") {
		weak = slices.Contains(p.Digest.Algorithms, "MD5")
		if !weak {
			s.Differs = append(s.Differs, p.Name+": its stand-in asks for no password, since it does not know the algorithm")
			return r, nil
		}
	}
	if p.Auth == nil {
		return r, nil
	}
	password, err := os.ReadFile(filepath.Join(s.dir, s.secret(p.Name)))
	if err != nil {
		return nil, err
	}
	r.Auth = &carrier.Auth{Realm: cmp.Or(p.Auth.Realm, "sandbox"), User: p.Auth.User, Password: strings.TrimSpace(string(password)), MD5: weak}
	return r, nil
}

// Addr is where the node of the sandbox stands.
func (s *Stage) Addr() netip.Addr { return s.node }
