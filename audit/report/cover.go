package report

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/page"
)

// Period is what a report covers: From included, To not. A zero end is open.
type Period struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// Has says whether t lies in it.
func (p Period) Has(t time.Time) bool {
	return (p.From.IsZero() || !t.Before(p.From)) && (p.To.IsZero() || t.Before(p.To))
}

func (p Period) String() string {
	word := func(t time.Time, open string) string {
		if t.IsZero() {
			return open
		}
		return t.UTC().Format("2006-01-02 15:04:05")
	}
	return word(p.From, "the first entry") + " to " + word(p.To, "the last entry") + " UTC"
}

// Cover is the checkpoint that covers what a report was made of: who has the log, or one witness' copy of the checkpoint, can make the report again.
type Cover struct {
	Origin     string `json:"origin"`
	Size       uint64 `json:"size"` // entries under it
	Root       string `json:"root"` // base64
	Unsigned   uint64 `json:"entries_beyond"`
	Checkpoint string `json:"checkpoint"` // the signed note
}

// CoverOf is that of a log that was verified and holds.
func CoverOf(v audit.Verification) Cover {
	return Cover{v.Origin, v.Size, v.Root, v.Unsigned, v.Checkpoint}
}

// foot is what stands at the foot of each printed page.
func (c Cover) foot() string {
	return fmt.Sprintf("%s, checkpoint of %d entries, root %s", c.Origin, c.Size, c.Root)
}

func (c Cover) facts() page.Facts {
	out := page.Facts{
		{"log", c.Origin}, {"checkpoint", fmt.Sprintf("%d entries, root %s", c.Size, c.Root)},
	}
	if c.Unsigned > 0 {
		out = append(out, [2]string{"beyond it", counted(int(c.Unsigned), "entry that no checkpoint covers yet is", "entries that no checkpoint covers yet are") + " in this report, too"})
	}
	return out
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}
