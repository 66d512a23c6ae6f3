package carrier

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

var pemFile = regexp.MustCompile(`(cert|key|roots|client_ca)_file: ([^,} \n]+)`)

// Furnish copies the files of a folder of configurations to another, with the certificates, keys and roots that they name by relative paths: what no repository
// should hold. All certificates are one, for name.
func (ca *CA) Furnish(src, dst, name string) error {
	pair, err := ca.Issue(name)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return fmt.Errorf("carrier: key: %w", err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	made := map[string][]byte{"cert": certificate, "key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), "roots": root, "client_ca": root}
	list, err := filepath.Glob(filepath.Join(src, "*.*"))
	if err != nil {
		return fmt.Errorf("carrier: %s: %w", src, err)
	}
	if len(list) == 0 {
		return fmt.Errorf("carrier: %s holds no files", src)
	}
	for _, file := range list {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("carrier: %w", err)
		}
		files := map[string][]byte{filepath.Base(file): data}
		for _, m := range pemFile.FindAllSubmatch(data, -1) {
			files[string(m[2])] = made[string(m[1])]
		}
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dst, name), data, 0o600); err != nil {
				return fmt.Errorf("carrier: %w", err)
			}
		}
	}
	return nil
}
