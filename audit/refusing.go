package audit

// refusing is a driver that takes nothing while somebody says so: a drill plays a disk that is full or gone. What is in the log stays readable and is signed.
type refusing struct {
	driver
	refuse func() error
}

func (r refusing) append(leaf []byte) (uint64, error) {
	if err := r.refuse(); err != nil {
		return 0, err
	}
	return r.driver.append(leaf)
}

func (r refusing) appendAll(leaves [][]byte) []result {
	err := r.refuse()
	if err == nil {
		return r.driver.appendAll(leaves)
	}
	out := make([]result, len(leaves))
	for i := range out {
		out[i].err = err
	}
	return out
}

func (r refusing) rotate(write func(seq uint64) ([]byte, *signing, error)) (uint64, error) {
	if err := r.refuse(); err != nil {
		return 0, err
	}
	return r.driver.rotate(write)
}
