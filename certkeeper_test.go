package cordon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

const certConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 10.0.0.0/8, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: tls, address: "10.5.0.10:5061", cert_file: edge.crt, key_file: edge.key, client_ca_file: roots.pem}
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - name: carrier
    region: aws:eu-central-1
    members: [{host: 10.1.0.10, transport: udp, port: 5060}]
    media: {security: plain}
    tls: {cert_file: client.crt, key_file: client.key, roots_file: roots.pem}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.2.0.10, transport: udp, port: 5060}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
certificates: {check: 5s}
api: {address: "off"}
`

// house is a node in a virtual network with certificates on a disk.
type house struct {
	t    *testing.T
	dir  string
	node *Node
	peer *vnet.Host
	num  int64
}

// write puts a self-signed pair into a file and gives its certificate.
func (h *house) write(file string, until time.Time, names ...string) *x509.Certificate {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	h.num++
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(h.num), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		h.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{file + ".crt": {Type: "CERTIFICATE", Bytes: der}, file + ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		path := filepath.Join(h.dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			h.t.Fatal(err)
		}
		_ = os.Chtimes(path, time.Now(), time.Now()) // two files of one size, written in one moment of virtual time
	}
	c, _ := x509.ParseCertificate(der)
	return c
}

// shake shows what the listener presents. client is the file of the certificate that is shown to it, if any.
func (h *house) shake(client ...string) (*tls.Conn, *big.Int) {
	h.t.Helper()
	conf := &tls.Config{InsecureSkipVerify: true}
	for _, file := range client {
		pair, err := tls.LoadX509KeyPair(filepath.Join(h.dir, file+".crt"), filepath.Join(h.dir, file+".key"))
		if err != nil {
			h.t.Fatal(err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil } // whatever the listener believes
	}
	nc, err := h.peer.DialTCP(context.Background(), netip.Addr{}, netip.MustParseAddrPort("10.5.0.10:5061"))
	if err != nil {
		h.t.Fatal(err)
	}
	tc := tls.Client(nc, conf)
	if err := tc.Handshake(); err != nil {
		h.t.Fatal(err)
	}
	return tc, tc.ConnectionState().PeerCertificates[0].SerialNumber
}

// options asks over a connection that is open and says whether it was answered.
func options(tc *tls.Conn) bool {
	_, _ = tc.Write([]byte("OPTIONS sip:edge SIP/2.0\r\nVia: SIP/2.0/TLS 10.1.0.10:5061;branch=z9hG4bK" + rand.Text() + "\r\nFrom: <sip:a@b>;tag=f\r\nTo: <sip:c@d>\r\n" +
		"Call-ID: " + rand.Text() + "\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"))
	_ = tc.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 2000)
	n, _ := tc.Read(b)
	return strings.HasPrefix(string(b[:n]), "SIP/2.0 200 ")
}

func (h *house) events(kind audit.Kind) (out []string) {
	h.t.Helper()
	list, err := h.node.Log().Entries(context.Background(), 0, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == kind {
			out = append(out, string(e.Body))
		}
	}
	return out
}

// inHouse plays f with a node, which runs or, where nothing but the keeper is looked at over many days, does not.
func inHouse(t *testing.T, until time.Duration, runs bool, f func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		net := vnet.New(1)
		h := &house{t: t, dir: t.TempDir(), peer: net.Host(netip.MustParseAddr("10.1.0.10"))}
		h.write("edge", time.Now().Add(until), "sbc.example.com")
		h.write("client", time.Now().Add(1000*24*time.Hour), "client.example.com")
		root := h.write("roots", time.Now().Add(1000*24*time.Hour), "authority")
		_ = os.WriteFile(filepath.Join(h.dir, "roots.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600)
		file := filepath.Join(h.dir, "cordon.yaml")
		if err := os.WriteFile(file, []byte(certConfig), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := configs.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if h.node, err = New(context.Background(), Options{Config: cfg, Net: net.Host(netip.MustParseAddr("10.5.0.10")), Memory: true}); err != nil {
			t.Fatal(err)
		}
		defer h.node.Close(context.Background())
		if runs {
			if err := h.node.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			defer h.node.Stop(context.Background(), 0)
		}
		f(h)
	})
}

// A renewed certificate takes effect without a connection that notices; a wrong one does not, and the log says why.
func TestCertificatesAreReplacedUnderLiveConnections(t *testing.T) {
	inHouse(t, 500*24*time.Hour, true, func(h *house) {
		live, first := h.shake()
		defer live.Close()
		next := h.write("edge", time.Now().Add(600*24*time.Hour), "sbc.example.com", "more.example.com")
		time.Sleep(12 * time.Second) // two looks: it must have stood still
		tc, now := h.shake()
		tc.Close()
		if now.Cmp(next.SerialNumber) != 0 || now.Cmp(first) == 0 {
			t.Errorf("after the renewal the listener shows %v", now)
		}
		if !options(live) {
			t.Error("the connection of before the renewal does not answer any more")
		}
		got := h.events(audit.KindCertReplaced)
		if len(got) != 1 || !strings.Contains(got[0], `"use":"listeners[0]","cause":"file"`) {
			t.Fatalf("events %v", got)
		}
		for what, bad := range map[string]func(){
			"does not name more.example.com": func() { h.write("edge", time.Now().Add(700*24*time.Hour), "sbc.example.com") },
			"ended on":                       func() { h.write("edge", time.Now().Add(-time.Hour), "sbc.example.com", "more.example.com") },
			"tls":                            func() { _ = os.WriteFile(filepath.Join(h.dir, "edge.key"), []byte("half a"), 0o600) },
		} {
			before := len(h.events(audit.KindCertRefused))
			bad()
			time.Sleep(30 * time.Second)
			refused := h.events(audit.KindCertRefused)
			if len(refused) != before+1 || !strings.Contains(refused[before], what) {
				t.Errorf("%s: events %v", what, refused[before:])
			}
			tc, now := h.shake()
			tc.Close()
			if now.Cmp(next.SerialNumber) != 0 {
				t.Errorf("%s: the listener shows %v", what, now)
			}
		}
		if !options(live) {
			t.Error("the first connection does not answer any more")
		}
		// What is shown to a trunk is asked for at each handshake, too.
		mine := h.node.profiles(h.node.cfg.Load())[0].TLS.Cert
		again := h.write("client", time.Now().Add(900*24*time.Hour), "client.example.com")
		time.Sleep(12 * time.Second)
		if leaf, _ := x509.ParseCertificate(mine().Certificate[0]); leaf.SerialNumber.Cmp(again.SerialNumber) != 0 {
			t.Errorf("the trunk would be shown %v", leaf.SerialNumber)
		}
	})
}

// A reload judges the certificates, too: one that may not follow refuses the whole file.
func TestAReloadJudgesCertificates(t *testing.T) {
	inHouse(t, 500*24*time.Hour, true, func(h *house) {
		h.write("edge", time.Now().Add(700*24*time.Hour), "other.example.com")
		if err := h.node.ReloadFile(context.Background(), ""); err == nil || !strings.Contains(err.Error(), "does not name sbc.example.com") {
			t.Errorf("the reload said %v", err)
		}
		next := h.write("edge", time.Now().Add(700*24*time.Hour), "sbc.example.com")
		if err := h.node.ReloadFile(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		tc, now := h.shake()
		tc.Close()
		if now.Cmp(next.SerialNumber) != 0 {
			t.Errorf("after the reload the listener shows %v", now)
		}
		if got := h.events(audit.KindCertReplaced); len(got) != 1 || !strings.Contains(got[0], `"cause":"reload"`) {
			t.Errorf("events %v", got)
		}
	})
}

// during is a logger that does something when it is first told of what.
type during struct {
	slog.Handler
	what string
	once *sync.Once
	do   func()
}

func (d during) Handle(_ context.Context, r slog.Record) error {
	if r.Message == d.what {
		d.once.Do(d.do)
	}
	return nil
}

func (d during) Enabled(context.Context, slog.Level) bool { return true }

// A reload that comes while another one still takes its certificates waits for it: the people and certificates in force are those of the policy in force.
func TestReloadsComeOneAfterTheOther(t *testing.T) {
	inHouse(t, 500*24*time.Hour, false, func(h *house) {
		var second sync.WaitGroup
		h.node.logger = slog.New(during{slog.DiscardHandler, "another certificate is in force", new(sync.Once), func() {
			wider := strings.Replace(certConfig, "policy: {", "policy: {allow: [aws:eu-central-1, aws:eu-north-1], ", 1)
			if err := os.WriteFile(filepath.Join(h.dir, "cordon.yaml"), []byte(wider), 0o600); err != nil {
				t.Error(err)
			}
			second.Go(func() {
				if err := h.node.ReloadFile(context.Background(), ""); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Second)
		}})
		h.write("edge", time.Now().Add(700*24*time.Hour), "sbc.example.com")
		if err := h.node.ReloadFile(context.Background(), ""); err != nil {
			t.Error(err)
		}
		second.Wait()
		if rules, file := len(h.node.Fence().Snapshot().Policy().Allow), len(h.node.Config().Policy.Allow); rules != 2 || file != 2 {
			t.Errorf("the policy in force permits %d regions, the file in force %d, want 2", rules, file)
		}
		ctx, cancel := context.WithCancel(context.Background())
		h.node.reloading <- struct{}{}
		cancel()
		if err := h.node.ReloadFile(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("who does not wait any more: %v", err)
		}
	})
}

// busyLog does something else while it commits.
type busyLog struct {
	audit.Log
	meanwhile func()
}

func (l busyLog) Commit(ctx context.Context, e audit.Event) (uint64, error) {
	if e.Kind() == audit.KindPolicyApplied {
		l.meanwhile()
	}
	return l.Log.Commit(ctx, e)
}

// A grant that is revoked while a reload waits for the log ends at once, and stays ended when the reload is through; one that opens meanwhile stays open.
func TestARevocationWaitsForNoReload(t *testing.T) {
	inHouse(t, 500*24*time.Hour, false, func(h *house) {
		n := h.node
		inForce := func() (ids string) {
			for _, g := range n.Fence().Snapshot().Grants() {
				ids += g.ID + " "
			}
			return ids
		}
		open := func(id string) approval.Grant {
			return approval.Grant{ID: id, Scope: approval.Scope{Regions: []string{"aws:us-east-1"}}, From: time.Now(), Until: time.Now().Add(time.Hour)}
		}
		n.policy.grantsChanged([]approval.Grant{open("a"), open("b")})
		if got := inForce(); got != "a b " {
			t.Fatalf("in force: %s", got)
		}
		log, before := n.log, n.Fence().Snapshot().Generation()
		n.log = busyLog{log, func() {
			n.policy.grantsChanged([]approval.Grant{open("b")})
			n.policy.grantsChanged([]approval.Grant{open("b"), open("c")})
			if got := inForce(); got != "b c " || n.Fence().Snapshot().Policy().Preset == sovereign.EUOnly {
				t.Errorf("while the reload waits for the log, in force: %s", got)
			}
		}}
		narrower := strings.Replace(certConfig, "policy: {", "policy: {preset: eu_only, ", 1)
		if err := os.WriteFile(filepath.Join(h.dir, "cordon.yaml"), []byte(narrower), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.ReloadFile(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		n.log = log
		after := n.Fence().Snapshot()
		if got := inForce(); got != "b c " || after.Policy().Preset != sovereign.EUOnly || after.Generation() != before+3 {
			t.Errorf("after the reload, in force: %s, preset %v, generation %d after %d", got, after.Policy().Preset, after.Generation(), before)
		}
		told := h.events(audit.KindPolicyApplied)
		if last := told[len(told)-1]; !strings.Contains(last, fmt.Sprintf(`"generation":%d`, after.Generation())) || !strings.Contains(last, `"cause":"reload"`) {
			t.Errorf("the log does not tell what is in force: %v", told)
		}
	})
}

// The roots of a listener and of a trunk follow their files: the next handshake counts with the new ones, what is up stays up, and a file that would shut
// everybody out is refused.
func TestRootsFollowTheirFiles(t *testing.T) {
	inHouse(t, 500*24*time.Hour, true, func(h *house) {
		until := time.Now().Add(300 * 24 * time.Hour)
		believe := func(list ...*x509.Certificate) *x509.CertPool {
			pool := x509.NewCertPool()
			var text []byte
			for _, c := range list {
				pool.AddCert(c)
				text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
			}
			if err := os.WriteFile(filepath.Join(h.dir, "roots.pem"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			_ = os.Chtimes(filepath.Join(h.dir, "roots.pem"), time.Now(), time.Now())
			time.Sleep(12 * time.Second)
			return pool
		}
		taken := func(file string) bool {
			tc, _ := h.shake(file)
			defer tc.Close()
			return options(tc)
		}
		one, two := h.write("one", until, "one.example"), h.write("two", until, "two.example")
		believe(one)
		live, _ := h.shake("one")
		defer live.Close()
		if !options(live) || taken("two") {
			t.Fatal("the roots were not believed as they stand")
		}
		roots := h.node.profiles(h.node.cfg.Load())[0].TLS.Roots
		pool := believe(two)
		if !taken("two") || taken("one") || !roots().Equal(pool) {
			t.Error("the next handshake does not know the roots of the file")
		}
		if !options(live) {
			t.Error("a connection of before the change does not answer any more")
		}
		before := len(h.events(audit.KindCertReplaced))
		believe(h.write("ended", time.Now().Add(-time.Hour), "ended.example"))
		believe()
		if !taken("two") || taken("ended") || !roots().Equal(pool) {
			t.Error("roots that nobody can show a certificate under took effect")
		}
		refused := h.events(audit.KindCertRefused)
		if len(refused) != 4 || !strings.Contains(strings.Join(refused, ""), "no root of the file is valid now") || len(h.events(audit.KindCertReplaced)) != before {
			t.Errorf("refused: %v", refused)
		}
		uses := strings.Join(h.events(audit.KindCertReplaced), "")
		if before != 4 || strings.Count(uses, `"use":"listeners[0].client_ca_file","cause":"file"`) != 2 || strings.Count(uses, `"use":"toward carrier","cause":"file"`) != 2 {
			t.Errorf("%d events: %s", before, uses)
		}
		believe(one, two)
		if err := h.node.ReloadFile(context.Background(), ""); err != nil || !taken("one") || !taken("two") {
			t.Errorf("after a reload: %v", err)
		}
	})
}

// Each certificate is told of once per threshold, and a restart tells nobody again.
func TestPeopleHearOfCertificatesThatEnd(t *testing.T) {
	inHouse(t, 61*24*time.Hour, false, func(h *house) {
		var left []string
		for range 63 * 4 {
			h.node.certs.alarms(context.Background())
			time.Sleep(6 * time.Hour)
		}
		for _, e := range h.events(audit.KindCertExpiring) {
			var x audit.CertExpiring
			if err := json.Unmarshal([]byte(e), &x); err != nil {
				t.Fatal(err)
			}
			if x.Role != "own" || len(x.Uses) != 1 || x.Uses[0] != "listeners[0]" || x.Names[0] != "sbc.example.com" || x.Left > x.Threshold {
				t.Errorf("%+v", x)
			}
			left = append(left, string(rune('0'+x.Threshold/10))+string(rune('0'+x.Threshold%10)))
		}
		if s := strings.Join(left, " "); s != "60 30 14 03 00" {
			t.Errorf("told at %s", s)
		}
		second := &Node{opts: Options{Config: h.node.cfg.Load(), Metrics: prometheus.NewRegistry()}, logger: slog.New(slog.DiscardHandler), log: h.node.log, kv: h.node.kv}
		second.cfg.Store(h.node.cfg.Load())
		k, err := newCertKeeper(second)
		if err != nil {
			t.Fatal(err)
		}
		k.recall(context.Background())
		k.alarms(context.Background())
		if n := len(h.events(audit.KindCertExpiring)); n != 5 {
			t.Errorf("%d events after a restart, want the 5 of before", n)
		}
		list := k.register.List()
		if len(list) != 3 || list[0].Uses[0] != "listeners[0]" || string(list[1].Role)+string(list[2].Role) != "ownroot" && string(list[1].Role)+string(list[2].Role) != "rootown" {
			t.Errorf("the register: %+v", list)
		}
	})
}

// The state forgets what was told of certificates that are gone, and keeps what was told of those that are there.
func TestTheStateForgetsCertificatesThatAreGone(t *testing.T) {
	inHouse(t, 20*24*time.Hour, false, func(h *house) {
		ctx := context.Background()
		if _, err := h.node.kv.Swap(ctx, toldPrefix+"gone", 0, []byte("14")); err != nil {
			t.Fatal(err)
		}
		h.node.certs.recall(ctx)
		for range 2 {
			h.node.certs.alarms(ctx)
			time.Sleep(31 * 24 * time.Hour)
		}
		list, err := h.node.kv.List(ctx, toldPrefix)
		if err != nil || len(list) != 1 || list[0].Key == toldPrefix+"gone" {
			t.Errorf("%v %v", list, err)
		}
	})
}
