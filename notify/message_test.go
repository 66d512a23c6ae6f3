package notify

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

var sender = mail.Address{Name: "cordon", Address: "cordon@bank.example"}

// Whatever stands in an entry: every line of the message is short ASCII, and its headers are those that it has, once each.
func TestNothingIsPutIntoAMessage(t *testing.T) {
	for _, evil := range []string{
		"x\r\nBcc: eve@evil.example", "x\n\nbody", "x\r\n.\r\nMAIL FROM:<eve@evil.example>", ".", "\x00\x1b[2J", "=?utf-8?q?=0D=0ABcc:_eve?=", strings.Repeat("y", 5000), strings.Repeat("ü ", 5000), "\u2028\u0085z",
		"a  b\tc",
	} {
		n := notice()
		n.ID, n.Node, n.Tenant, n.Subject, n.Summary, n.Kind = evil, evil, evil, evil, evil, audit.Kind(evil)
		n.Data = map[string]any{"a": evil, "b": []any{evil, evil}}
		text, err := encodeMail(n, sender, []string{"a@b.example"})
		if err != nil {
			t.Fatalf("%.30q: %v", evil, err)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\r\n"), "\r\n") {
			if len(line) > 400 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%.30q: line %q", evil, line)
			}
		}
		m, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range m.Header {
			if len(values) != 1 || !strings.Contains(" Date From To Message-Id Subject Auto-Submitted Mime-Version Content-Type Content-Transfer-Encoding ", " "+name+" ") {
				t.Errorf("%.30q: header %s: %q", evil, name, values)
			}
		}
		if list, err := m.Header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != "a@b.example" {
			t.Errorf("%.30q: to %v, %v", evil, list, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n\x00") || len(subject) > maxSubject+len("[cordon]") {
			t.Errorf("%.30q: subject %q, %v", evil, subject, err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || len(body) > maxMailText+2*maxParam || strings.ContainsAny(string(body), "\x00\x1b") || strings.Contains(string(body), "\r\n.\r\n") {
			t.Errorf("%.30q: body %.200q, %v", evil, body, err)
		}
	}
}

func TestTheSameNoticeIsTheSameMessage(t *testing.T) {
	one, err := encodeMail(notice(), sender, []string{"a@b.example"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := encodeMail(notice(), sender, []string{"a@b.example"})
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("%v:\n%s\n%s", err, one, two)
	}
	n := notice()
	n.ID = "01JD0000000000000000000002"
	other, err := encodeMail(n, sender, []string{"a@b.example"})
	if err != nil || !bytes.Contains(one, []byte("\r\nMessage-ID: <cordon.01JD0000000000000000000001@bank.example>\r\n")) || !bytes.Contains(other, []byte("\r\nMessage-ID: <cordon.01JD0000000000000000000002@bank.example>\r\n")) {
		t.Errorf("%v:\n%s\n%s", err, one, other)
	}
}

func TestHeadersFoldAndRefuse(t *testing.T) {
	for value, want := range map[string]string{
		"short":                         "X: short\r\n",
		strings.Repeat("word ", 20):     "X: " + strings.TrimSpace(strings.Repeat("word ", 15)) + "\r\n" + strings.Repeat(" word", 5) + "\r\n",
		strings.Repeat("w", 100):        "X: " + strings.Repeat("w", 100) + "\r\n",
		"a " + strings.Repeat("w", 100): "X: a\r\n " + strings.Repeat("w", 100) + "\r\n",
		"":                              "X:\r\n",
	} {
		var b bytes.Buffer
		if err := writeHeader(&b, "X", value); err != nil || b.String() != want {
			t.Errorf("%q: %v, %q", value, err, b.String())
		}
	}
	for _, value := range []string{"a\r\nBcc: x", "a\nb", "a\rb", "a\x00b", "ä", "a\x7f", strings.Repeat("w", 901)} {
		var b bytes.Buffer
		if err := writeHeader(&b, "X", value); !errors.As(err, new(*unfit)) || may(err) || b.Len() > 2 {
			t.Errorf("%q: %v, %q", value, err, b.String())
		}
	}
	for text, want := range map[string]string{"plain": "plain", "Zürich": "=?utf-8?q?Z=C3=BCrich?=", "=?utf-8?q?x?=": "= ?utf-8?q?x?="} {
		if got := headText(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
