package admin

import (
	"net/http"

	"github.com/cordonsip/cordon/certs"
)

// certificates gives the register.
func (s *Server) certificates(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	list := []certs.Certificate{}
	if s.c.Certificates != nil {
		list = s.c.Certificates()
	}
	return writeJSON(w, map[string]any{"certificates": list})
}
