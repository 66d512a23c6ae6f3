package dtls

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
)

const (
	defaultTimeout = 30 * time.Second
	// lingering is how long the last message is repeated for a client that did not get it: it has asked for that four times by then, RFC 6347 section 4.2.4.1.
	lingering = 15 * time.Second
	// flightInterval is when what was not answered is sent again the first time; it doubles each time. RFC 6347 section 4.2.4.1 has a second, and lets what is
	// sensitive to time have less: somebody waits to be heard.
	flightInterval = 300 * time.Millisecond
	// exporter is the label of RFC 5764 section 4.2.
	exporter = "EXTRACTOR-dtls_srtp"
)

// Config of a handshake.
type Config struct {
	Role        Role
	Certificate Certificate
	Peer        []Fingerprint // of the peer's description
	Suites      []srtp.Suite  // in order of preference; nil means all. Those that RFC 5764 and RFC 7714 have no profile for are left out.
	// Proven is true when the peer's address has shown that it receives what is sent there, as ICE makes it. Else a server asks it to return a cookie first,
	// RFC 6347 section 4.2.1, and answers nobody's forged address with more than that.
	Proven  bool
	Timeout time.Duration // 0 means 30 s
	// Send is given each datagram that is to be sent. It must not block, keep the datagram, or call the Handshake. It is called from several goroutines, one at a time.
	Send func(datagram []byte)
	// Done is told once how it ended, unless Close came first. The error is an *Error. It must not block or call Close.
	Done func(Keys, error)
}

// Handshake is one association while its keys are made, and for a while after that: as a server it repeats its last message for a peer that did not get it. What it
// holds is bounded, in octets by maxTaken and in time by Timeout and lingering: about 50 KB with its goroutines, four of which are pion's and end with it.
type Handshake struct {
	conf   Config
	pipe   *pipe
	conn   *dtls.Conn // run's
	cancel context.CancelFunc
	ended  chan struct{}
	alert  atomic.Uint32 // 1 + description of the last fatal alert in clear; 0: none came
	proven atomic.Bool   // the peer's certificate is the announced one
}

// Start begins: a client's first datagram goes out at once. The caller must Close it.
func Start(c Config) (*Handshake, error) {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	profiles := profilesOf(c.Suites)
	switch {
	case c.Role != Client && c.Role != Server:
		return nil, errors.New("dtls: the roles are not settled")
	case c.Certificate.fingerprint == "":
		return nil, errors.New("dtls: no certificate")
	case len(c.Peer) == 0:
		return nil, errors.New("dtls: no fingerprint of the peer's")
	case len(profiles) == 0:
		return nil, &Error{Profile, errors.New("none of the suites can be had by DTLS")}
	}
	h := &Handshake{conf: c, pipe: newPipe(c.Send), ended: make(chan struct{})}
	var err error
	if h.conn, err = h.open(profiles); err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go h.run(ctx)
	return h, nil
}

// open makes pion's side.
func (h *Handshake) open(profiles []dtls.SRTPProtectionProfile) (*dtls.Conn, error) {
	options := []dtls.Option{
		dtls.WithCertificates(h.conf.Certificate.pair),
		// AEAD with forward secrecy alone, RFC 7525 section 4.2. Ours is a certificate for ECDSA; the other two are for a server with RSA.
		dtls.WithCipherSuites(
			dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, dtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			dtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, dtls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		),
		dtls.WithSRTPProtectionProfiles(profiles...),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithReplayProtectionWindow(window),
		// No authority has signed a peer's certificate: its fingerprint is what counts. pion has checked by then that the peer has the key to it.
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !matches(h.conf.Peer, raw[0]) {
				return errFingerprint
			}
			h.proven.Store(true)
			return nil
		}),
		// What failed is told by Done; pion's own log would go to the process's standard error, past the operator's.
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}),
	}
	if h.conf.Role == Client {
		var client []dtls.ClientOption
		for _, o := range options {
			client = append(client, o)
		}
		return dtls.ClientWithOptions(h.pipe, far{}, client...)
	}
	server := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(h.conf.Proven)}
	for _, o := range options {
		server = append(server, o)
	}
	return dtls.ServerWithOptions(h.pipe, far{}, server...)
}

// Feed takes a datagram that ice.KindOf calls DTLS, from the address that media is exchanged with. It never blocks and keeps no slice of it. It says whether the
// datagram was taken: not when it is malformed, when more came than a handshake can need, or when all is over.
func (h *Handshake) Feed(datagram []byte) bool {
	if !wellFormed(datagram) {
		return false
	}
	if description, ok := fatalAlert(datagram); ok {
		h.alert.Store(1 + uint32(description)) // before pion sees it, and ends
	}
	return h.pipe.put(datagram)
}

// Close ends it, and with it everything that it holds. Neither Send nor Done is called any more once it has returned. It may be called more than once, and had better
// be as soon as a packet of the peer's was opened with the keys: the peer has our last message then.
func (h *Handshake) Close() {
	h.cancel()
	<-h.ended
}

// run makes the keys, lingers, and ends.
func (h *Handshake) run(ctx context.Context) {
	defer close(h.ended)
	defer h.cancel()
	keys, err := h.make(ctx)
	if ctx.Err() == nil {
		h.conf.Done(keys, err)
	}
	if err == nil && h.conf.Role == Server {
		h.linger(ctx)
	}
	// No close_notify: for the peer, media goes on under these keys.
	h.pipe.silence()
	_ = h.conn.Close() // it closes the pipe, which has nothing to say
	_ = h.pipe.Close()
	h.conn = nil // some tens of KB, and the owner may keep h as long as the call lasts
}

// make runs the handshake itself.
func (h *Handshake) make(ctx context.Context) (Keys, error) {
	ctx, cancel := context.WithTimeout(ctx, h.conf.Timeout)
	defer cancel()
	if err := h.conn.HandshakeContext(ctx); err != nil {
		return Keys{}, h.failure(ctx, err)
	}
	if !h.proven.Load() {
		return Keys{}, &Error{Mismatch, errFingerprint}
	}
	return h.export()
}

// failure puts a word to what pion says.
func (h *Handshake) failure(ctx context.Context, err error) *Error {
	alert := h.alert.Load()
	switch {
	case errors.Is(err, errFingerprint):
		return &Error{Mismatch, errFingerprint}
	case alert != 0:
		return &Error{Alert, fmt.Errorf("the peer sent %s (%d)", alertName(byte(alert-1)), alert-1)}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{Timeout, fmt.Errorf("not done after %v", h.conf.Timeout)}
	case strings.Contains(err.Error(), "SRTP"): // pion does not export these errors
		return &Error{Profile, err}
	}
	return &Error{Protocol, err}
}

// export takes the keys out, RFC 5764 section 4.2: both keys and then both salts, the client's first.
func (h *Handshake) export() (Keys, error) {
	profile, ok := h.conn.SelectedSRTPProtectionProfile()
	suite := suiteOf(profile)
	if !ok || suite == 0 {
		return Keys{}, &Error{Profile, errors.New("the peer does not speak use_srtp")}
	}
	state, ok := h.conn.ConnectionState()
	if !ok {
		return Keys{}, &Error{Protocol, errors.New("no state to export keys from")}
	}
	k, s := suite.Lengths()
	b, err := state.ExportKeyingMaterial(exporter, nil, 2*(k+s))
	if err != nil {
		return Keys{}, &Error{Protocol, fmt.Errorf("exporting keys: %w", err)}
	}
	client := Master{Key: b[:k:k], Salt: b[2*k : 2*k+s : 2*k+s]}
	server := Master{Key: b[k : 2*k : 2*k], Salt: b[2*k+s:]}
	if h.conf.Role == Client {
		return Keys{suite, client, server}, nil
	}
	return Keys{suite, server, client}, nil
}

// linger answers a client that sends its last flight again, because ours was lost, until it can have given up. What else it sends is read and dropped.
func (h *Handshake) linger(ctx context.Context) {
	conn := h.conn // the function below may still run when h has let go of it
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(lingering)); err != nil {
		return
	}
	b := make([]byte, maxDatagram)
	for ctx.Err() == nil {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// pairs are the suites with the protection profiles of RFC 5764 section 4.1.2 and RFC 7714 section 14.2, in the order of preference: AEAD costs a half to a third
// of the others.
var pairs = [...]struct {
	suite   srtp.Suite
	profile dtls.SRTPProtectionProfile
}{
	{srtp.AES256GCM, dtls.SRTP_AEAD_AES_256_GCM},
	{srtp.AES128GCM, dtls.SRTP_AEAD_AES_128_GCM},
	{srtp.AES128CM80, dtls.SRTP_AES128_CM_HMAC_SHA1_80},
	{srtp.AES128CM32, dtls.SRTP_AES128_CM_HMAC_SHA1_32},
}

// profilesOf are the profiles of suites, in their order; nil suites are all that there are.
func profilesOf(suites []srtp.Suite) (out []dtls.SRTPProtectionProfile) {
	if suites == nil {
		for _, p := range pairs {
			out = append(out, p.profile)
		}
		return out
	}
	for _, s := range suites {
		for _, p := range pairs {
			if p.suite == s && !slices.Contains(out, p.profile) {
				out = append(out, p.profile)
			}
		}
	}
	return out
}

// suiteOf is the suite of a profile; 0: none of ours.
func suiteOf(profile dtls.SRTPProtectionProfile) srtp.Suite {
	for _, p := range pairs {
		if p.profile == profile {
			return p.suite
		}
	}
	return 0
}
