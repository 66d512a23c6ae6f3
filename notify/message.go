package notify

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// Bounds of a message. RFC 5322 section 2.1.1 has 998 octets for a line, and asks for 78.
const (
	maxSubject  = 200
	maxMailText = 32 << 10
	maxSummary  = 2048
	foldAt      = 78
	maxHeadWord = 900
)

// unfit is what cannot be sent as it is, however often it is tried.
type unfit struct{ why string }

func (u *unfit) Error() string { return u.why }

// encodeMail writes the message of n, RFC 5322. It is the same at each attempt, octet by octet: Date is the time of the entry, and Message-ID comes from its id,
// so a mailbox that gets it twice can tell.
func encodeMail(n Notice, from mail.Address, to []string) ([]byte, error) {
	_, domain, _ := strings.Cut(from.Address, "@")
	subject := fmt.Sprintf("[cordon] %s %s: %s", strings.ToUpper(string(SeverityOf(n))), n.Node, n.Summary)
	var b bytes.Buffer
	for _, h := range []param{
		{"Date", n.Time.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")},
		{"From", from.String()},
		{"To", strings.Join(to, ", ")},
		{"Message-ID", "<cordon." + idWord(n.ID) + "@" + domain + ">"},
		{"Subject", headText(cut(shown(subject), maxSubject))},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834 section 5: nobody is to answer that he is away
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"}, // so the way need not carry eight bits
	} {
		if err := writeHeader(&b, h.name, h.value); err != nil {
			return nil, err
		}
	}
	b.WriteString("\r\n")
	text := quotedprintable.NewWriter(&b)
	if _, err := text.Write([]byte(mailText(n))); err != nil {
		return nil, err
	}
	return b.Bytes(), text.Close()
}

// mailText is the body: the summary, and a field on each line.
func mailText(n Notice) string {
	var b strings.Builder
	b.WriteString(cut(shown(n.Summary), maxSummary) + "\r\n\r\ntime: " + n.Time.UTC().Format("2006-01-02T15:04:05.999999Z") + "\r\n")
	for _, p := range paramsOf(n) {
		if b.Len() > maxMailText {
			b.WriteString("(more of it is in the log)\r\n")
			break
		}
		b.WriteString(strings.TrimPrefix(p.name, "data.") + ": " + cut(shown(p.value), maxParam) + "\r\n")
	}
	return b.String()
}

// headText is text for a header: encoded words (RFC 2047) where it is not ASCII, and nothing that a reader would take for one.
func headText(text string) string {
	return mime.QEncoding.Encode("utf-8", strings.ReplaceAll(text, "=?", "= ?"))
}

// idWord is an id as a part of a Message-ID, RFC 5322 section 3.6.4.
func idWord(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' {
			return r
		}
		return '_'
	}, cut(id, maxHostname))
}

// writeHeader writes a header and folds it. Whatever could end it early is refused: behind a line break another header would begin.
func writeHeader(b *bytes.Buffer, name, value string) error {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return &unfit{"the header " + name + " has a line break or another character in it that headers may not have"}
	}
	b.WriteString(name + ":")
	at := len(name) + 1
	for i, word := range strings.Fields(value) {
		if len(word) > maxHeadWord {
			return &unfit{"the header " + name + " is too long"}
		}
		if i > 0 && at+1+len(word) > foldAt { // RFC 5322 section 2.2.3
			b.WriteString("\r\n")
			at = 0
		}
		b.WriteString(" " + word)
		at += 1 + len(word)
	}
	b.WriteString("\r\n")
	return nil
}
