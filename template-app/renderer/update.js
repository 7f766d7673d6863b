// Over-the-air updates: the version label says what happens, the yellow button restarts into the new version.

// The label says "updating…" at least this long, so that a quick update does not flicker by.
const MIN_UPDATING_MS = 1200

function amount(bytes) {
  if (bytes < 1000) return `${bytes} B`
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} KB`
  return `${(bytes / 1e6).toFixed(1)} MB`
}

export function watchUpdates({ bridge, version, progress, button, notice }) {
  const current = version.textContent
  let since = 0
  let bytes = 0
  let settle = null

  const updating = () => {
    clearTimeout(settle)
    if (!version.classList.contains('busy')) {
      since = performance.now()
      bytes = 0
    }
    version.textContent = 'updating…'
    version.classList.add('busy')
  }

  const rest = () => {
    version.textContent = current
    version.classList.remove('busy')
    progress.hidden = true
  }

  const restLater = () => {
    clearTimeout(settle)
    settle = setTimeout(rest, Math.max(0, MIN_UPDATING_MS - (performance.now() - since)))
  }

  const delta = (data) => {
    const { bytesAdded = 0, bytes: done = null, totalBytes: total = null } = data ?? {}
    bytes = done ?? bytes + bytesAdded
    if (total > 0) progress.textContent = `${Math.min(100, Math.floor((bytes / total) * 100))} % of ${amount(total)}`
    else if (bytes > 0) progress.textContent = amount(bytes)
    progress.hidden = progress.textContent === ''
  }

  const updated = (data) => {
    if (!version.classList.contains('busy')) updating()
    restLater()
    if (button.disabled) return
    const next = data?.nextVersion ?? data?.version
    button.title = next ? `Restart into version ${next}` : 'Restart into the new version'
    button.textContent = 'Update ready!'
    button.hidden = false
  }

  bridge.onPearEvent('updating', updating)
  bridge.onPearEvent('updating-delta', (_, data) => delta(data))
  bridge.onPearEvent('updated', (_, data) => updated(data))
  bridge.onPearEvent('error', (_, data) => {
    if (version.classList.contains('busy')) restLater()
    notice.show(data?.message ?? 'The update did not work.')
  })

  button.addEventListener('click', async () => {
    button.disabled = true
    button.textContent = 'Restarting…'
    try {
      await bridge.applyUpdate()
      await bridge.appAfterUpdate()
    } catch (err) {
      // A version that was refused is not offered again.
      const { updated } = await bridge.updaterState()
      button.hidden = !updated
      button.disabled = false
      button.textContent = 'Update ready!'
      notice.show(err.message)
    }
  })
}
