package notify

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Rate bounds what an outlet gets: Burst messages at once, and from then on what comes within Every goes out together, one message for each kind of
// thing. The zero Rate sends each notice alone.
type Rate struct {
	Burst int
	Every time.Duration
}

func (r Rate) limits() bool { return r.Burst > 0 && r.Every > 0 }

// bucket is a Rate over time: it holds Burst tokens at most and gains one each Every.
type bucket struct {
	rate   Rate
	tokens float64
	at     time.Time
}

// left counts the tokens of now.
func (b *bucket) left(now time.Time) int {
	if b.at.IsZero() {
		b.tokens = float64(b.rate.Burst)
	} else {
		b.tokens = min(b.tokens+float64(now.Sub(b.at))/float64(b.rate.Every), float64(b.rate.Burst))
	}
	b.at = now
	return int(b.tokens)
}

// wait is how long it takes until there is a token.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.left(now) >= 1 {
		return 0
	}
	return time.Duration((1-b.tokens)*float64(b.rate.Every)) + 1
}

// take spends n tokens, or what there is.
func (b *bucket) take(now time.Time, n int) {
	b.left(now)
	b.tokens = max(b.tokens-float64(n), 0)
}

// maxSubjects bounds how many things a group names.
const maxSubjects = 10

// groupKey says which notices may stand for each other. What asks people to decide, and what ends something that an outlet keeps open, stands alone: its key is its own id.
func groupKey(n Notice) string {
	_, action := Lifecycle(n)
	if n.asks() || action == Resolve {
		return n.ID
	}
	to, _ := n.Data["to"].(string)
	if n.Kind != audit.KindHealthChanged {
		to = ""
	}
	drill, _ := n.Data["drill"].(string)
	return string(n.Kind) + "\x00" + n.Ticket + "\x00" + to + "\x00" + drill
}

// grouped makes as few notices of a list as it can, in the order of the first of each; what asks people to decide goes first.
func grouped(list []Notice) []Notice {
	var order []string
	by := map[string][]Notice{}
	for _, n := range list {
		key := groupKey(n)
		if by[key] == nil {
			order = append(order, key)
		}
		by[key] = append(by[key], n)
	}
	out := make([]Notice, 0, len(order))
	for _, key := range order {
		out = append(out, merged(by[key]))
	}
	slices.SortStableFunc(out, func(a, b Notice) int {
		switch {
		case a.asks() == b.asks():
			return 0
		case a.asks():
			return -1
		}
		return 1
	})
	return out
}

// merged is one notice for all of list, which is not empty: the first of them, what all have in common, how many there are and what some of them are about.
func merged(list []Notice) Notice {
	n := list[0]
	if len(list) == 1 {
		return n
	}
	last := list[len(list)-1]
	n.ID += "-" + last.ID // the same things together are the same message at every attempt, and other things together are another one
	n.Count, n.Last, n.Until = len(list), last.Seq, last.Time
	data := map[string]any{}
	for key, v := range n.Data {
		if !slices.ContainsFunc(list, func(o Notice) bool { return !reflect.DeepEqual(o.Data[key], v) }) {
			data[key] = v
		}
	}
	for _, o := range list {
		if !slices.Contains(n.Subjects, o.Subject) && len(n.Subjects) < maxSubjects {
			n.Subjects = append(n.Subjects, o.Subject)
		}
	}
	n.Data = data
	n.Summary = fmt.Sprintf("%d x %s", n.Count, summary(n))
	if words, err := json.Marshal(n.Subjects); err == nil {
		n.Summary += " first=" + string(words)
	}
	return n
}
