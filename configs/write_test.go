package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/cordonsip/cordon/internal/carrier"
)

// What is written is read back as it was.
func TestWhatIsWrittenIsReadBack(t *testing.T) {
	dir := t.TempDir()
	ca, err := carrier.NewCA()
	if err == nil {
		err = ca.Furnish("examples", dir, "sbc.bank.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(list) < 8 {
		t.Fatalf("%d examples, %v", len(list), err)
	}
	for _, file := range list {
		was, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := was.File.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(dir, "again.yaml")
		if err := os.WriteFile(again, text, 0o600); err != nil {
			t.Fatal(err)
		}
		is, err := Load(again)
		if err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(file), err, text)
			continue
		}
		if !reflect.DeepEqual(was.File, is.File) {
			t.Errorf("%s: read back otherwise:\n%+v\n%+v", filepath.Base(file), was.File, is.File)
		}
	}
}
