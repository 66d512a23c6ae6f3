package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cordonsip/cordon/sovereign"
)

// post sends body once and judges the answer: what the far side said, in a line, and whether another attempt makes sense.
func post(ctx context.Context, out *Outlet, name string, header http.Header, body []byte) (answer string, retry bool, err error) {
	a, err := out.Post(ctx, header, body)
	if err != nil {
		return "", !errors.Is(err, sovereign.ErrFenced), fmt.Errorf("notify: %s: %w", name, err)
	}
	retry, err = judge(name, a)
	return line(a), retry, err
}

// judge says what an answer of HTTP means. A redirect is never followed: it could lead anywhere.
func judge(name string, a Answer) (bool, error) {
	code := a.Status
	err := fmt.Errorf("notify: %s: the receiver answered %d", name, code)
	switch {
	case code >= 200 && code < 300:
		return false, nil
	case code >= 300 && code < 400:
		return false, fmt.Errorf("%w: redirects are not followed", err)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		if a.Later {
			err = &RetryAfter{After: a.After, Err: err}
		}
		return true, err
	}
	return false, err
}

// maxLine bounds what is shown of an answer.
const maxLine = 200

// line is an answer for people: the status, and the beginning of the body without what a terminal would obey.
func line(a Answer) string {
	body := shown(string(a.Body[:min(len(a.Body), maxLine)]))
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, strings.TrimSpace(body)))
}

// shown is text in one line: control characters become spaces, and what is no UTF-8 a question mark.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
