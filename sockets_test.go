package cordon

import (
	"testing"

	"github.com/cordonsip/cordon/configs"
)

// fewFiles is a network whose process may have so many files open.
type fewFiles struct {
	Net
	n int
}

func (f fewFiles) Descriptors() int { return f.n }

// TestMediaLeavesFilesToTheLog: media may take what connections and an eighth for the rest leave, and half in any case.
func TestMediaLeavesFilesToTheLog(t *testing.T) {
	for _, c := range []struct{ files, conns, want int }{{20000, 0, 13404}, {20000, 500, 17000}, {1024, 0, 512}, {1 << 20, 100000, 817504}, {0, 0, 0}} {
		cfg := &configs.Config{}
		cfg.Guard.Conns = c.conns
		n := &Node{opts: Options{Config: cfg, Net: fewFiles{n: c.files}}}
		if got := n.mediaSockets(); got != c.want {
			t.Errorf("%d files, %d connections: %d sockets, want %d", c.files, c.conns, got, c.want)
		}
	}
}
