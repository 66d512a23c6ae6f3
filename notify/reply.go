package notify

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Bounds of a reply. RFC 5321 section 4.5.3.1.5 has 512 octets for a line, and some servers write more into their last one.
const (
	maxReplyLine  = 2048
	maxReplyLines = 100
)

// smtpReply is a reply of RFC 5321 section 4.2.
type smtpReply struct {
	code   int
	status string   // RFC 3463, of the last line: "5.1.1"; "": the server gives none
	lines  []string // without codes; the words of the server, which may name people
}

// enhanced is a status code of RFC 3463 at the beginning of a line.
var enhanced = regexp.MustCompile(`^([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)`)

// readReply reads one reply. r must have room for maxReplyLine.
func readReply(r *bufio.Reader) (smtpReply, error) {
	var out smtpReply
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxReplyLine || len(out.lines) == maxReplyLines:
			return smtpReply{}, errors.New("the server's reply is too long")
		case errors.Is(err, io.EOF) && (len(line) > 0 || len(out.lines) > 0):
			return smtpReply{}, io.ErrUnexpectedEOF
		case err != nil:
			return smtpReply{}, err
		}
		code, more, text, ok := replyLine(string(line))
		if !ok || len(out.lines) > 0 && code != out.code {
			return smtpReply{}, errors.New("what the server says is no reply of SMTP")
		}
		out.code, out.lines = code, append(out.lines, text)
		if !more {
			if m := enhanced.FindStringSubmatch(text); m != nil && m[1][0] == byte('0'+code/100) {
				out.status = strings.TrimSpace(m[0])
			}
			return out, nil
		}
	}
}

// replyLine reads one line: the code, whether more follow, and the text.
func replyLine(line string) (code int, more bool, text string, ok bool) {
	line, ended := strings.CutSuffix(line, "\r\n")
	if !ended || len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '9' || line[2] < '0' || line[2] > '9' {
		return 0, false, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	switch {
	case len(line) == 3: // RFC 5321 section 4.2.1: the space may be missing
		return code, false, "", true
	case line[3] == ' ' || line[3] == '-':
		return code, line[3] == '-', line[4:], true
	}
	return 0, false, "", false
}

// said is the reply for people: its code and the beginning of its last line.
func (r smtpReply) said() string {
	last := shown(r.lines[len(r.lines)-1])
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.code, cut(last, maxLine)))
}

// refusal is a reply that is not the one that was needed. It does not repeat the server's words: they often have the address of a person.
type refusal struct {
	step   string
	code   int
	status string
}

func (r *refusal) Error() string {
	if r.status != "" {
		return fmt.Sprintf("the server answered %d %s to %s", r.code, r.status, r.step)
	}
	return fmt.Sprintf("the server answered %d to %s", r.code, r.step)
}

// final says whether it will not change by itself, RFC 5321 section 4.2.1: 5yz.
func (r *refusal) final() bool { return r.code/100 == 5 }
