package exposition

// KeepOutdated sets how many bytes may be outdated and still being sent.
func (h *Handler) KeepOutdated(bytes int) { h.kept.mostOutdated = bytes }

// Outdated returns how many outdated answers are still being sent.
func (h *Handler) Outdated() int {
	h.kept.mu.Lock()
	defer h.kept.mu.Unlock()
	return len(h.kept.outdated)
}
