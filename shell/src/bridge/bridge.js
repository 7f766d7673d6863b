// The page's side of the bridge. The host adds it to the main frame of the app's own origin, before any page script.
// `{config}` is one JSON object: token, origin, pkg. Only this closure knows the token.
;(() => {
  'use strict'
  const { token, origin, pkg, maxMessage } = {config}
  const started = performance.timeOrigin + performance.now()
  if (window.top !== window || location.origin !== origin || window.bridge) return

  const { stringify, parse } = JSON
  const post = window.ipc.postMessage.bind(window.ipc)
  const page = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('')
  const pending = new Map()
  const listeners = new Map()
  let nextId = 1

  const send = (call, id) => {
    const text = stringify({ token, page, id, call })
    if (text.length > maxMessage) throw new RangeError(`the message is too large for the bridge (${text.length} of at most ${maxMessage} characters)`)
    post(text)
  }

  const request = (call) =>
    new Promise((resolve, reject) => {
      const id = nextId++
      pending.set(id, { resolve, reject })
      try {
        send(call, id)
      } catch (err) {
        pending.delete(id)
        reject(err)
      }
    })

  const listen = (channel, listener) => {
    if (typeof listener !== 'function') throw new TypeError('the listener must be a function')
    let set = listeners.get(channel)
    if (!set) listeners.set(channel, (set = new Set()))
    const entry = { listener }
    set.add(entry)
    return () => set.delete(entry)
  }

  const deliver = (channel, ...args) => {
    for (const { listener } of [...(listeners.get(channel) ?? [])]) {
      try {
        listener(...args)
      } catch (err) {
        reportError(err)
      }
    }
  }

  const toBase64 = (data) => {
    const bytes =
      typeof data === 'string' ? new TextEncoder().encode(data)
      : data instanceof ArrayBuffer ? new Uint8Array(data)
      : ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : Array.isArray(data) ? Uint8Array.from(data)
      : null
    if (bytes === null) throw new TypeError('data for a worker must be a string or bytes')
    let text = ''
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192))
    return btoa(text)
  }
  const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))

  const fail = ({ message, code }) => {
    const err = new Error(message)
    if (code) err.code = code
    return err
  }

  const receive = (text) => {
    const message = parse(text)
    switch (message.kind) {
      case 'reply': {
        if (message.page !== page) return
        const promise = pending.get(message.id)
        if (!promise) return
        pending.delete(message.id)
        if (message.error) promise.reject(fail(message.error))
        else promise.resolve(message.value)
        return
      }
      case 'pear':
        return deliver('pear:' + message.name, message.name, message.data)
      case 'event':
        return deliver('event:' + message.name, message.data)
      case 'worker':
        return deliver(`worker:${message.stream}:${message.spec}`, fromBase64(message.data))
      case 'workerExit':
        return deliver('worker:exit:' + message.spec, message.code)
    }
  }
  Object.defineProperty(window, '__boscReceive', { value: receive })

  const bridge = {
    pkg: () => parse(pkg),
    invoke: (command, args) => request({ kind: 'invoke', command: String(command), args: args === undefined ? null : args }),
    on: (name, listener) => listen('event:' + name, listener),
    onPearEvent: (name, listener) => listen('pear:' + name, listener),
    updaterState: () => request({ kind: 'updaterState' }),
    applyUpdate: () => request({ kind: 'applyUpdate' }),
    retryUpdate: () => request({ kind: 'retryUpdate' }),
    appAfterUpdate: () => request({ kind: 'appAfterUpdate' }),
    startWorker: (spec) => request({ kind: 'startWorker', spec: String(spec) }),
    writeWorkerIPC: async (spec, data) => request({ kind: 'writeWorker', spec: String(spec), data: toBase64(data) }),
    onWorkerIPC: (spec, listener) => listen('worker:ipc:' + spec, listener),
    onWorkerStdout: (spec, listener) => listen('worker:stdout:' + spec, listener),
    onWorkerStderr: (spec, listener) => listen('worker:stderr:' + spec, listener),
    onWorkerExit: (spec, listener) => listen('worker:exit:' + spec, listener),
    writeClipboard: (text) => navigator.clipboard.writeText(String(text))
  }
  Object.defineProperty(window, 'bridge', { value: Object.freeze(bridge), enumerable: true })

  // The web view would go away and leave an empty window.
  window.close = () => send({ kind: 'close' })

  // Links to other places open in the system's browser, and only when a person clicked them.
  const openExternal = (event) => {
    if (!event.isTrusted || event.defaultPrevented) return
    const link = event.target instanceof Element ? event.target.closest('a[href]') : null
    if (!link) return
    const url = new URL(link.href, location.href)
    if (url.origin === origin) return
    event.preventDefault()
    if (['https:', 'http:', 'mailto:'].includes(url.protocol)) send({ kind: 'openExternal', url: url.href })
  }
  document.addEventListener('click', openExternal)
  document.addEventListener('auxclick', (event) => event.button === 1 && openExternal(event))

  // What became of this page is said once: `painted` or `broken`.
  let judged = false
  const failed = (reason) => {
    if (judged) return
    judged = true
    send({ kind: 'broken', reason: reason.slice(0, 4000) })
  }

  let reports = 0
  const report = (message) => {
    if (reports++ < 50) send({ kind: 'report', message: String(message).slice(0, 4000) })
  }
  addEventListener('error', (event) => {
    const { target, message, filename, lineno, error } = event
    if (target !== window && target instanceof Element) {
      const text = `cannot load ${target.src || target.href || target.localName}`
      report(text)
      if (target instanceof HTMLScriptElement) failed(text)
    } else {
      report(error?.stack ? `${message}\n${error.stack}` : `${message} (${filename}:${lineno})`)
      // What is about a resize observer is a note of the browser, nothing that a script threw.
      if (!String(message).startsWith('ResizeObserver loop')) failed(String(message))
    }
  }, true)
  addEventListener('unhandledrejection', ({ reason }) => report(`unhandled rejection: ${reason?.stack ? `${reason}\n${reason.stack}` : reason}`))
  addEventListener('securitypolicyviolation', (event) => report(`blocked by the content security policy (${event.violatedDirective}): ${event.blockedURI}`))

  const PICTURES = 'img, svg, canvas, video, audio, input, button, textarea, select, meter, progress, iframe, embed, object'
  // Whether an element can be seen by itself: by text, as a picture or a control, by a background or a border.
  const visible = (element) => {
    if (element.checkVisibility && !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false
    const { width, height } = element.getBoundingClientRect()
    if (width < 1 || height < 1) return false
    if (element.matches(PICTURES)) return true
    // What is inside a closed shadow root cannot be asked.
    if (element.localName.includes('-') && !element.shadowRoot) return true
    if ([...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== '')) return true
    if (element === document.body) return false
    const { backgroundImage, backgroundColor, borderStyle, boxShadow } = getComputedStyle(element)
    return backgroundImage !== 'none' || borderStyle !== 'none' || boxShadow !== 'none' || !/^(transparent|rgba\(.*, 0\))$/.test(backgroundColor)
  }
  // Whether the page shows anything at all.
  const shows = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (visible(element) || (element.shadowRoot && shows(element.shadowRoot))) return true
    }
    return false
  }

  // `hello` when the document is there, so that the host shows the window; `painted` once a frame shows something. A page that
  // stays blank never says it.
  const hello = () => {
    send({ kind: 'hello', started })
    // One of the host's own pages, which say what is wrong.
    if (document.querySelector('meta[name="bosc-problem"]')) return failed('the page cannot be shown')
    let pause = 100
    const look = () => {
      if (judged) return
      if (document.body && (visible(document.body) || shows(document.body))) {
        judged = true
        send({ kind: 'painted' })
      } else {
        setTimeout(look, (pause = Math.min(pause * 1.5, 2000)))
      }
    }
    requestAnimationFrame(() => requestAnimationFrame(look))
    setTimeout(look, 1500)
  }
  if (document.readyState === 'loading') addEventListener('DOMContentLoaded', hello, { once: true })
  else hello()
})()
