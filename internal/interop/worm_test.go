//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/worm/s3"
)

// An S3 server with object lock that knows nothing of us (versitygw), and curl, which signs by itself.
type vault struct {
	t   *testing.T
	url string
	s3  *s3.Bucket
}

const (
	vaultID, vaultKey = "interop-id", "interop-secret"
	emptySum          = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func newVault(t *testing.T, addr string) *vault {
	t.Helper()
	program, err := exec.LookPath("versitygw")
	if err != nil {
		t.Fatalf("%v: internal/interop/install.sh gets it", err)
	}
	v := &vault{t: t, url: fmt.Sprintf("http://%s:%d", addr, place{}.freePort(t, addr))}
	dir := t.TempDir()
	for _, name := range []string{"objects", "history"} { // neither is the beginning of the other's path
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ROOT_ACCESS_KEY", vaultID)
	t.Setenv("ROOT_SECRET_KEY", vaultKey)
	start(t, place{}, dir, program, "--port", strings.TrimPrefix(v.url, "http://"), "--region", "eu-central-1", "posix", "--versioning-dir", filepath.Join(dir, "history"), filepath.Join(dir, "objects"))
	word := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
	v.s3, err = s3.New(s3.Config{Endpoint: v.url, Region: "eu-central-1", Bucket: "worm", Access: word(vaultID), Secret: word(vaultKey), Client: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the bucket is made", 20*time.Second, func() bool {
		return strings.HasSuffix(v.curl("PUT", "/worm", "-H", "x-amz-bucket-object-lock-enabled: true"), "200")
	})
	return v
}

// curl asks the server and gives what it answered, the status behind it.
func (v *vault) curl(method, path string, more ...string) string {
	args := append([]string{"-s", "--max-time", "10", "--aws-sigv4", "aws:amz:eu-central-1:s3", "-u", vaultID + ":" + vaultKey, "-X", method, "-H", "x-amz-content-sha256: " + emptySum, "-w", "%{http_code}"}, more...)
	out, _ := exec.Command("curl", append(args, v.url+path)...).CombinedOutput() // a server that is not up yet
	return string(out)
}

func (v *vault) first(prefix string) string {
	v.t.Helper()
	list, err := v.s3.First(v.t.Context(), "cordon/interop-bank/edge-1/"+prefix, 1)
	if err != nil {
		v.t.Fatal(err)
	}
	return strings.Join(list, "")
}

// config is the part of the log in a configuration.
func (v *vault) config(recovery string) string {
	return fmt.Sprintf(", worm: {endpoint: %q, region: \"aws:eu-central-1\", bucket: worm, access_key: {file: s3.id}, secret_key: {file: s3.key}, keep: 1d, every: 10s, recovery_key: %q}", v.url, recovery)
}

// A node copies its log to a real server with object lock, which refuses to delete from it; the machine is lost; the log comes back, verifies, goes on, and a
// proof leads from the old checkpoint to the new.
func TestTheCopyOnARealServerWithObjectLock(t *testing.T) {
	v := newVault(t, loop(10, 70))
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	recovery, err := exec.Command(cordonBin, "restore", "key", at("recovery.key")).Output()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		dir: dir, trunks: []party{{name: "carrier", addr: loop(1, 71), port: 5060, transport: "udp"}}, groups: []party{{name: "fra", addr: loop(10, 71), port: 5060, transport: "udp"}},
		log: v.config(strings.TrimSpace(string(recovery))),
	}
	for name, text := range map[string]string{"s3.id": vaultID, "s3.key": vaultKey} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := boot(t, w)
	until(t, "a checkpoint in the bucket", 20*time.Second, func() bool { return v.first("sealed/keys/") != "" })
	v.refusesToDelete("checkpoint/")
	v.refusesToDelete("edge/tile/entries/")
	v.refusesToDelete("sealed/keys/")
	n.stop()
	n.lose(t)
	out := n.mustCLI("ops", "restore", "-c", "cordon.yaml", "--key=log.vkey", "--recovery-key=recovery.key", "--ended")
	t.Logf("restore:\n%s", out)
	if !strings.Contains(out, "all of them verified") || !strings.Contains(out, "goes on    under the same name") {
		t.Errorf("restore: %s", out)
	}
	n.bounds(t)
	n.verify()
	n.process = nil
	n.run(at("cordon.yaml"))
	n.stop()
	if out := n.mustCLI("ops", "verify", "state", "--from=old.checkpoint"); !strings.Contains(out, "nothing was removed or changed between them") {
		t.Errorf("from the old checkpoint to the new: %s", out)
	}
}

// refusesToDelete asks, with the key of the owner, for the removal of a locked version, by our client and by curl.
func (v *vault) refusesToDelete(prefix string) {
	v.t.Helper()
	key := v.first(prefix)
	o, err := v.s3.Head(v.t.Context(), key, "")
	if err != nil || o.Mode != "COMPLIANCE" || o.Until.Before(time.Now()) {
		v.t.Fatalf("%s: %v %+v", key, err, o)
	}
	if err := v.s3.DeleteVersion(v.t.Context(), key, o.Version); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		v.t.Errorf("%s: a locked version was deleted: %v", key, err)
	}
	out := v.curl("DELETE", "/worm/"+key+"?versionId="+o.Version, "-H", "x-amz-bypass-governance-retention: true")
	if !strings.HasSuffix(out, "403") || !strings.Contains(out, "AccessDenied") {
		v.t.Errorf("%s: curl deleted a locked version: %s", key, out)
	}
	v.t.Logf("DELETE %s?versionId=%s, locked in %s mode until %s: %s", key, o.Version, o.Mode, o.Until.Format(time.RFC3339), out)
	noted(v.t, "deletion of a version of "+prefix+" in compliance mode, by the owner", "403 AccessDenied", "refused")
}

// lose keeps what is kept elsewhere, and takes the state folder away.
func (n *node) lose(t *testing.T) {
	t.Helper()
	for from, to := range map[string]string{"state/log/checkpoint": "old.checkpoint", "state/log.vkey": "log.vkey"} {
		raw, err := os.ReadFile(filepath.Join(n.dir, from))
		if err != nil {
			t.Fatal(err)
		}
		n.write(filepath.Join(n.dir, to), raw, 0o600)
	}
	if err := os.RemoveAll(filepath.Join(n.dir, "state")); err != nil {
		t.Fatal(err)
	}
}

// bounds restores once more where there is no room, and where nothing can be written.
func (n *node) bounds(t *testing.T) {
	t.Helper()
	small := filepath.Join(n.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func(args ...string) {
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatalf("mount %v: %v %s", args, err, out)
		}
	}
	mount("-t", "tmpfs", "-o", "size=8k", "none", small)
	defer func() { _ = exec.Command("umount", small).Run() }()
	for _, want := range []string{"the disk is full", "the folder cannot be written"} {
		out, err := n.cli("ops", "restore", "-c", "cordon.yaml", "--key=log.vkey", "--recovery-key=recovery.key", "--dir="+filepath.Join(small, "state"))
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v %s", want, err, out)
		}
		if files, err := os.ReadDir(small); err != nil || len(files) != 0 {
			t.Errorf("%s: something was left: %v %v", want, err, files)
		}
		mount("-o", "remount,ro", small)
	}
	if bytes.Contains([]byte(n.output()), []byte(vaultKey)) {
		t.Error("the node logged the key of the bucket")
	}
}
