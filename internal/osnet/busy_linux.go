package osnet

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// ReadBusy reads the first line of /proc/stat: proc_stat(5). A container sees its host's processors there.
func ReadBusy() Busy {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Busy{}
	}
	return parseBusy(text)
}

// parseBusy takes "cpu user nice system idle iowait irq softirq steal guest guest_nice" in hundredths of a second. guest is in user already.
func parseBusy(text []byte) (b Busy) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) < 5 || string(f[0]) != "cpu" {
		return Busy{}
	}
	for i, word := range f[1:min(len(f), 9)] {
		n, err := strconv.ParseUint(string(word), 10, 63)
		if err != nil {
			return Busy{}
		}
		d := time.Duration(n) * 10 * time.Millisecond
		b.All += d
		if i != 3 && i != 4 { // idle, iowait
			b.Used += d
		}
	}
	return b
}
