package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a message. Collectors take 8,192 octets if they do as RFC 5425 section 4.3.1 says they should; the others are those of RFC 5424 section 6.
const (
	maxSyslog   = 8192
	maxElement  = 6144 // of structured data, so that room is left for the text
	maxParam    = 1024 // of one value, before it is escaped
	maxHostname = 255
	maxMsgID    = 32
)

// bom says that the text behind it is UTF-8, RFC 5424 section 6.4.
const bom = "\xef\xbb\xbf"

// param is one of the fields of an element. A name may stand several times.
type param struct{ name, value string }

// sdEscape: these three, and no others, RFC 5424 section 6.3.3.
var sdEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// syslogMessage is a message of RFC 5424.
type syslogMessage struct {
	priority         int
	at               time.Time
	host, app, msgID string
	element          string // the whole of it, or "-"
	text, tail       string // what may be cut off, and what stands behind it
}

// bytes writes m within maxSyslog.
func (m syslogMessage) bytes() []byte {
	head := fmt.Sprintf("<%d>1 %s %s %s - %s %s "+bom, m.priority, m.at.UTC().Format("2006-01-02T15:04:05.999999Z"), word(m.host, maxHostname), m.app, word(m.msgID, maxMsgID), m.element)
	return []byte(head + cut(m.text, max(maxSyslog-len(head)-len(m.tail), 0)) + m.tail)
}

// word is text as a field of the header: printable US-ASCII without spaces, at most n octets, and the NILVALUE for nothing.
func word(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), n)]
}

// element writes structured data. What does not fit is left out, and a last parameter says so.
func element(id string, params []param) string {
	const cutShort = ` truncated="true"`
	var b strings.Builder
	b.WriteString("[" + id)
	for _, p := range params {
		text := " " + p.name + `="` + sdEscape.Replace(cut(shown(p.value), maxParam)) + `"`
		if b.Len()+len(text)+len(cutShort)+1 > maxElement {
			b.WriteString(cutShort)
			break
		}
		b.WriteString(text)
	}
	b.WriteByte(']')
	return b.String()
}

// encodeSyslog writes the message of n. enterprise 0 means no element.
func encodeSyslog(n Notice, facility int, enterprise uint32) []byte {
	m := syslogMessage{
		priority: facility*8 + SeverityOf(n).syslog(), at: n.Time, host: n.Node, app: "cordon", msgID: string(n.Kind), element: "-",
		text: shown(n.Summary), tail: fmt.Sprintf(" entry=%d id=%s", n.Seq, word(n.ID, maxHostname)),
	}
	if enterprise != 0 {
		m.element = element("cordon@"+strconv.FormatUint(uint64(enterprise), 10), paramsOf(n))
	}
	return m.bytes()
}

// paramsOf are the fields of n, those that every notice has first. What entries of one kind have begins with "data.".
func paramsOf(n Notice) []param {
	out := []param{
		{"id", n.ID}, {"seq", strconv.FormatUint(n.Seq, 10)}, {"kind", string(n.Kind)}, {"severity", string(SeverityOf(n))}, {"tenant", n.Tenant}, {"node", n.Node},
	}
	subjects := n.Subjects
	if len(subjects) == 0 {
		subjects = []string{n.Subject}
	}
	for _, s := range subjects {
		out = append(out, param{"subject", s})
	}
	if n.Ticket != "" {
		out = append(out, param{"ticket", n.Ticket})
	}
	if n.Count > 1 {
		out = append(out, param{"count", strconv.Itoa(n.Count)}, param{"last_seq", strconv.FormatUint(n.Last, 10)}, param{"until", n.Until.UTC().Format(time.RFC3339Nano)})
	}
	return append(out, dataOf(n, "data.")...)
}

// dataOf are the fields of n's kind in the order of their names; a list is a field several times.
func dataOf(n Notice, prefix string) []param {
	var out []param
	names := make([]string, 0, len(n.Data))
	for name := range n.Data {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		list, many := n.Data[name].([]any)
		if !many {
			list = []any{n.Data[name]}
		}
		for _, v := range list {
			if text := textOf(v); text != "" {
				out = append(out, param{prefix + name, text})
			}
		}
	}
	return out
}

// textOf is a value of an entry in words; what has parts is JSON.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}
