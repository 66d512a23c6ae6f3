package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// read5424 is a message as a collector reads it.
type read5424 struct {
	pri                              int
	at                               time.Time
	host, app, proc, msgID, id, text string
	params                           []param
	utf8                             bool // the text says that it is UTF-8
}

var head5424 = regexp.MustCompile(`^<(0|[1-9][0-9]{0,2})>1 (-|[0-9T:.Z+-]+) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) `)

// readSyslog reads a message by the grammar of RFC 5424 section 6, with at most one element.
func readSyslog(b []byte) (m read5424, err error) {
	head := head5424.FindSubmatch(b)
	if head == nil {
		return m, errors.New("no header")
	}
	m.pri, _ = strconv.Atoi(string(head[1]))
	if string(head[2]) != "-" {
		if m.at, err = time.Parse(time.RFC3339Nano, string(head[2])); err != nil {
			return m, err
		}
		if _, rest, frac := strings.Cut(string(head[2]), "."); frac && len(strings.TrimRight(rest, "Z")) > 6 && !strings.ContainsAny(rest, "+-") {
			return m, errors.New("more than six digits of a second")
		}
	}
	m.host, m.app, m.proc, m.msgID = string(head[3]), string(head[4]), string(head[5]), string(head[6])
	rest := b[len(head[0]):]
	if rest[0] == '-' {
		rest = rest[1:]
	} else if rest, err = m.element(rest); err != nil {
		return m, err
	}
	if len(rest) == 0 {
		return m, nil
	}
	if rest[0] != ' ' {
		return m, errors.New("no space before the text")
	}
	text, marked := bytes.CutPrefix(rest[1:], []byte{0xEF, 0xBB, 0xBF})
	if m.text, m.utf8 = string(text), marked; marked && !utf8.Valid(text) {
		return m, errors.New("the text is not UTF-8")
	}
	return m, nil
}

var (
	sdID    = regexp.MustCompile(`^\[([!#-<>-\\^-~]{1,32})`)
	sdParam = regexp.MustCompile(`^ ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"`)
)

func (m *read5424) element(b []byte) ([]byte, error) {
	id := sdID.FindSubmatch(b)
	if id == nil {
		return nil, errors.New("no structured data")
	}
	m.id = string(id[1])
	for b = b[len(id[0]):]; len(b) > 0 && b[0] == ' '; {
		p := sdParam.FindSubmatch(b)
		if p == nil {
			return nil, fmt.Errorf("no parameter: %.60q", b)
		}
		if !utf8.Valid(p[2]) {
			return nil, errors.New("a value is not UTF-8")
		}
		m.params = append(m.params, param{string(p[1]), strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\]`, `]`).Replace(string(p[2]))})
		b = b[len(p[0]):]
	}
	if len(b) == 0 || b[0] != ']' {
		return nil, errors.New("the element does not end")
	}
	return b[1:], nil
}

// all gives the values of a name.
func (m read5424) all(name string) (out []string) {
	for _, p := range m.params {
		if p.name == name {
			out = append(out, p.value)
		}
	}
	return out
}

// The examples of RFC 5424 section 6.5. What we write never has a process; the others can be written as they stand there.
func TestTheExamplesOfRFC5424(t *testing.T) {
	first := "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - " + bom + "'su root' failed for lonvick on /dev/pts/8"
	third := `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] ` + bom + "An application event log entry..."
	at := time.Date(2003, 10, 11, 22, 14, 15, 3e6, time.UTC)
	params := []param{{"iut", "3"}, {"eventSource", "Application"}, {"eventID", "1011"}}
	for want, m := range map[string]syslogMessage{
		first: {priority: 4*8 + 2, at: at, host: "mymachine.example.com", app: "su", msgID: "ID47", element: "-", text: "'su root' failed for lonvick on /dev/pts/8"},
		third: {priority: 20*8 + 5, at: at, host: "mymachine.example.com", app: "evntslog", msgID: "ID47", element: element("exampleSDID@32473", params), text: "An application event log entry..."},
	} {
		if got := string(m.bytes()); got != want {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	}
	for text, want := range map[string]read5424{
		first: {pri: 34, at: at, host: "mymachine.example.com", app: "su", proc: "-", msgID: "ID47", text: "'su root' failed for lonvick on /dev/pts/8", utf8: true},
		third: {pri: 165, at: at, host: "mymachine.example.com", app: "evntslog", proc: "-", msgID: "ID47", id: "exampleSDID@32473", params: params, text: "An application event log entry...", utf8: true},
		"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.": {
			pri: 165, at: time.Date(2003, 8, 24, 12, 14, 15, 3000, time.UTC), host: "192.0.2.1", app: "myproc", proc: "8710", msgID: "-", text: "%% It's time to make the do-nuts.",
		},
	} {
		got, err := readSyslog([]byte(text))
		if err != nil || !got.at.Equal(want.at) {
			t.Errorf("%s: %v, %v", text, got.at, err)
		}
		got.at, want.at = time.Time{}, time.Time{}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got\n%v\nwant\n%v", got, want)
		}
	}
	for _, text := range []string{"", "<34>1", "<034>1 - a b - c - x", `<34>1 - a b - c [x y="a]b"] t`, `<34>1 - a b - c [x y="a"t`, "<34>1 2003-08-24T05:14:15.000000003Z a b - c - x", "<34>1 - a b - c -x"} {
		if m, err := readSyslog([]byte(text)); err == nil {
			t.Errorf("the reader of this test takes %q: %v", text, m)
		}
	}
}

// RFC 5424 section 6.3.3: these three are escaped, and nothing else is.
func TestParametersAreEscaped(t *testing.T) {
	for value, want := range map[string]string{
		`plain`: `plain`, `a"b`: `a\"b`, `a\b`: `a\\b`, `a]b`: `a\]b`, `\"]`: `\\\"\]`, `[a=b']`: `[a=b'\]`, "Zürich": "Zürich", "two\nlines\x00": "two lines ", "bad\xff": "bad?", "": "",
		strings.Repeat(`"`, 2000): strings.Repeat(`\"`, 1024),
	} {
		if got := element("x@1", []param{{"p", value}}); got != `[x@1 p="`+want+`"]` {
			t.Errorf("%q: %s", value, got)
		}
	}
}

func TestSyslogHasTheFieldsOfANotice(t *testing.T) {
	n := of(t, audit.KindFailoverHeld, `{"route":"in \"a\"]\\","ticket":"T1","region":"aws:us-east-1"}`)
	m, err := readSyslog(encodeSyslog(n, 16, 12345))
	if err != nil {
		t.Fatal(err)
	}
	if m.pri != 16*8+2 || !m.at.Equal(n.Time.Truncate(time.Microsecond)) || m.host != "edge-1" || m.app != "cordon" || m.msgID != "failover.held" || m.id != "cordon@12345" || !m.utf8 {
		t.Errorf("%+v", m)
	}
	if want := n.Summary + " entry=7 id=" + n.ID; m.text != want {
		t.Errorf("text %q, want %q", m.text, want)
	}
	want := []param{
		{"id", n.ID},
		{"seq", "7"},
		{"kind", "failover.held"},
		{"severity", "critical"},
		{"tenant", "bank"},
		{"node", "edge-1"},
		{"subject", `in "a"]\`},
		{"ticket", "T1"},
		{"data.region", "aws:us-east-1"},
		{"data.route", `in "a"]\`},
		{"data.ticket", "T1"},
	}
	if fmt.Sprint(m.params) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", m.params, want)
	}
	group := merged([]Notice{of(t, audit.KindHealthChanged, `{"target":"a","to":"down"}`), of(t, audit.KindHealthChanged, `{"target":"b","to":"down"}`)})
	if m, err = readSyslog(encodeSyslog(group, 3, 1)); err != nil || m.pri != 3*8+3 || fmt.Sprint(m.all("subject"), m.all("count"), m.all("data.to")) != "[a b] [2] [down]" {
		t.Errorf("a group: %v %+v", err, m)
	}
	moved := of(t, audit.KindAnswersMoved, `{"party":"p","before":["192.0.2.1","192.0.2.2"],"after":[]}`)
	if m, err = readSyslog(encodeSyslog(moved, 3, 1)); err != nil || fmt.Sprint(m.all("data.before")) != "[192.0.2.1 192.0.2.2]" {
		t.Errorf("a list: %v %+v", err, m)
	}
	if m, err = readSyslog(encodeSyslog(n, 16, 0)); err != nil || m.id != "" || m.params != nil || !strings.Contains(m.text, n.ID) {
		t.Errorf("without a number: %v %+v", err, m)
	}
}

// Of every kind: it is a MSGID as it is, its fields are names, and its severity is one of four.
func TestEveryKindFitsSyslog(t *testing.T) {
	for kind, may := range fields {
		n := Notice{ID: "1", Kind: kind, Node: "n", Data: map[string]any{}}
		for _, path := range may.leave {
			n.Data[path[strings.LastIndexByte(path, '.')+1:]] = map[string]any{"a": []any{1.5, true}}
		}
		m, err := readSyslog(encodeSyslog(n, 0, 1<<32-1))
		if err != nil || m.msgID != string(kind) || m.pri < 2 || m.pri > 6 || m.pri == 5 {
			t.Errorf("%s: %v, %+v", kind, err, m)
		}
		for _, v := range m.params {
			if strings.HasPrefix(v.name, "data.") && v.value != `{"a":[1.5,true]}` {
				t.Errorf("%s: %v", kind, v)
			}
		}
	}
}

func TestSyslogKeepsItsBounds(t *testing.T) {
	long := strings.Repeat("é]", 3000)
	n := Notice{ID: strings.Repeat("i", 500), Kind: audit.Kind(strings.Repeat("k", 50)), Node: "a b\nü" + long, Tenant: long, Subject: long, Summary: long, Data: map[string]any{"a": long, "b": long, "c": long}}
	b := encodeSyslog(n, 23, 7)
	m, err := readSyslog(b)
	if err != nil || len(b) > maxSyslog || len(m.host) != 255 || len(m.msgID) != 32 || m.all("truncated")[0] != "true" || !strings.HasPrefix(m.host, "a_b__") || !strings.HasSuffix(m.text, "i") {
		t.Errorf("%d octets, %v, %+v", len(b), err, m)
	}
	if m, err = readSyslog(encodeSyslog(Notice{}, 0, 7)); err != nil || m.host != "-" || m.msgID != "-" {
		t.Errorf("an empty one: %v %+v", err, m)
	}
}

// collector reads framed messages over TLS until the other side closes, as RFC 5425 says.
func collector(c *tls.Config, got func(*tls.Conn, []byte)) func(net.Conn) {
	return func(raw net.Conn) {
		conn := tls.Server(raw, c)
		defer conn.Close()
		all, err := io.ReadAll(conn)
		if err != nil {
			return
		}
		for len(all) > 0 {
			count, rest, ok := bytes.Cut(all, []byte{' '})
			n, err := strconv.Atoi(string(count))
			if !ok || err != nil || count[0] == '0' || n > len(rest) {
				got(conn, nil)
				return
			}
			got(conn, rest[:n])
			all = rest[n:]
		}
	}
}

func syslogTo(t *testing.T, c StreamConfig) Channel {
	t.Helper()
	ch, err := Syslog(SyslogConfig{StreamConfig: c, Facility: 13, Enterprise: 12345})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func TestSyslogDeliversOverTLS(t *testing.T) {
	cert, roots := issue(t, "example.com")
	own, ours := issue(t, "edge-1")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		got := make(chan read5424, 4)
		serve := collector(&tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ours, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: version}, func(_ *tls.Conn, b []byte) {
			m, err := readSyslog(b)
			if err != nil {
				t.Errorf("%q: %v", b, err)
			}
			got <- m
		})
		c := standIn(t, serve)
		c.Roots, c.Cert = roots, func() *tls.Certificate { return &own }
		answer, retry, err := ask(t.Context(), syslogTo(t, c), notice())
		if err != nil || retry || answer != "taken over "+tls.VersionName(version)+" (syslog has no answer)" {
			t.Fatalf("%q, %v, %v", answer, retry, err)
		}
		if m := <-got; m.msgID != "failover.held" || m.pri != 13*8+2 || m.all("id")[0] != notice().ID {
			t.Errorf("%+v", m)
		}
		c.Cert = func() *tls.Certificate { return nil }
		if _, retry, err := ask(t.Context(), syslogTo(t, c), notice()); err == nil || !retry || len(got) > 0 {
			t.Errorf("without its certificate: %v, %v", retry, err)
		}
	}
}

// Whatever the far side does wrong: it is tried again and said, within the time that there is.
func TestSyslogWithFarSidesThatFail(t *testing.T) {
	cert, roots := issue(t, "example.com")
	good := &tls.Config{Certificates: []tls.Certificate{cert}}
	other, _ := issue(t, "example.net")
	taken := func(*tls.Conn, []byte) { t.Error("the message arrived") }
	for name, c := range map[string]struct {
		serve func(net.Conn)
		say   string
	}{
		"hangs before TLS":      {hang, "deadline exceeded"},
		"hangs after TLS":       {func(c net.Conn) { conn := tls.Server(c, good); hang(conn); hang(c) }, "deadline exceeded"},
		"closes before TLS":     {func(net.Conn) {}, "TLS"},
		"resets after TLS":      {func(c net.Conn) { _ = tls.Server(c, good).Handshake(); reset(c) }, ""},
		"is another one":        {collector(&tls.Config{Certificates: []tls.Certificate{other}}, taken), "certificate"},
		"speaks an old TLS":     {collector(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, taken), "version"},
		"speaks in the clear":   {func(c net.Conn) { io.WriteString(c, "220 mail.example ESMTP\r\n"); hang(c) }, "TLS"},
		"talks without end":     {func(c net.Conn) { conn := tls.Server(c, good); io.Copy(conn, zeros{}) }, "without end"},
		"answers with an alert": {collector(&tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}, taken), "remote error"},
		"wants a certificate":   {collector(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}, taken), ""},
		"breaks off within one": {func(c net.Conn) {
			conn := tls.Server(c, good)
			_ = conn.Handshake()
			c.Write([]byte{23, 3, 3, 0, 99})
			c.(*net.TCPConn).CloseWrite()
			hang(c)
		}, "in order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := standIn(t, c.serve)
			to.Roots = roots
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			retry, err := syslogTo(t, to).Send(ctx, notice())
			if err == nil || !retry || !strings.Contains(err.Error(), c.say) {
				t.Errorf("retry %v, %v", retry, err)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestSyslogGoesThroughTheWall(t *testing.T) {
	var reached atomic.Bool
	to := standIn(t, func(net.Conn) { reached.Store(true) })
	for name, c := range map[string]struct {
		edit  func(*StreamConfig)
		retry bool
	}{
		"the fence refuses":     {func(c *StreamConfig) { c.Dial = fenced }, false},
		"nobody knows the name": {func(c *StreamConfig) { c.Host = "example.net" }, true},
		"it has no permitted address": {func(c *StreamConfig) {
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
		}, true},
		"nobody listens": {func(c *StreamConfig) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
		}, true},
	} {
		way := to
		way.Roots = x509.NewCertPool()
		c.edit(&way)
		if retry, err := syslogTo(t, way).Send(t.Context(), notice()); err == nil || retry != c.retry || errors.Is(err, sovereign.ErrFenced) == c.retry || reached.Load() {
			t.Errorf("%s: %v, %v, reached %v", name, retry, err, reached.Load())
		}
	}
}

func fenced(context.Context, string, string) (net.Conn, error) {
	return nil, fmt.Errorf("%w: the address lies in no permitted place", sovereign.ErrFenced)
}

// Through the follower: it fails twice, and the third attempt brings the same octets.
func TestSyslogIsTriedAgain(t *testing.T) {
	cert, roots := issue(t, "example.com")
	var asked atomic.Int32
	got := make(chan []byte, 4)
	read := collector(&tls.Config{Certificates: []tls.Certificate{cert}}, func(_ *tls.Conn, b []byte) { got <- b })
	to := standIn(t, func(c net.Conn) {
		if asked.Add(1) > 2 {
			read(c)
		}
	})
	to.Roots = roots
	w := newWorld(t)
	w.add(raw{"T1", "proposed"})
	f, err := New(Config{Log: w.log, KV: w.kv, Channels: []Routed{{Channel: syslogTo(t, to)}}, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer w.run(f)()
	entries, err := w.log.Entries(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := noticeOf(entries[0])
	if b := <-got; !bytes.Equal(b, encodeSyslog(n, 13, 12345)) || asked.Load() != 3 {
		t.Errorf("attempt %d: %s", asked.Load(), b)
	}
}

func TestSyslogRefuses(t *testing.T) {
	ok := SyslogConfig{StreamConfig: StreamConfig{Name: "x", Host: "example.com", Port: 6514, Dial: plainDialer.DialContext, Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }}}
	if _, err := Syslog(ok); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*SyslogConfig){
		"no name": func(c *SyslogConfig) { c.Name = "" }, "no host": func(c *SyslogConfig) { c.Host = "" }, "no port": func(c *SyslogConfig) { c.Port = 0 }, "no dialer": func(c *SyslogConfig) { c.Dial = nil },
		"no resolver": func(c *SyslogConfig) { c.Resolve = nil }, "a facility too far": func(c *SyslogConfig) { c.Facility = 24 }, "a negative one": func(c *SyslogConfig) { c.Facility = -1 },
	} {
		c := ok
		edit(&c)
		if _, err := Syslog(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
