package cordon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/internal/osnet"
)

// On real sockets, beside whatever runs on this machine: certificates, names and calls as in production, and a log on disk that is the sandbox's own.
func TestASandboxOnRealSockets(t *testing.T) {
	dir := t.TempDir()
	s, err := openSandbox(t.Context(), furnished(t, "genesys-two-sites.yaml"), sandboxOptions{Net: osnet.Net{}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ready(t.Context()); err != nil {
		t.Error(err)
	}
	s.ring(t)
	if err := s.close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "state", "log.vkey"))
	if err != nil || !strings.Contains(string(key), "bank-1-sandbox") {
		t.Errorf("the log is signed by %q, %v", key, err)
	}
	diary, err := os.ReadFile(filepath.Join(dir, "node.log"))
	if err != nil || strings.Contains(string(diary), "level=ERROR") {
		t.Errorf("%v\n%s", err, diary)
	}
}
