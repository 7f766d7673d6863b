// The page: header and update button, the name, the transcript, the composer.
// Everything written by a person goes through textContent, never through markup.

import { Transcript } from './transcript.js'
import { watchUpdates } from './update.js'

const { bridge } = window
const $ = (id) => document.getElementById(id)

const notice = {
  show(text) {
    $('notice-text').textContent = text
    $('notice').hidden = false
  },
  hide() {
    $('notice').hidden = true
  }
}
$('notice-close').addEventListener('click', () => notice.hide())

const transcript = new Transcript({ list: $('messages'), scroll: $('scroll'), empty: $('empty') })

// Messages

let oldest = null

function showPage({ messages, more }) {
  if (messages.length > 0) oldest = messages[0].id
  $('older').hidden = !more
  transcript.prepend(messages)
}

async function load() {
  bridge.on('chat:message', (message) => transcript.append(message))
  showPage(await bridge.invoke('chat:history', {}))
  transcript.ready()
}

$('older').addEventListener('click', async () => {
  $('older').disabled = true
  try {
    showPage(await bridge.invoke('chat:history', { before: oldest }))
  } catch (err) {
    notice.show(err.message)
  } finally {
    $('older').disabled = false
  }
})

// Composer: one message after the other, each shown when it is on the disk.

const input = $('message')
let sending = Promise.resolve()

function fit() {
  input.style.height = 'auto'
  input.style.height = `${input.scrollHeight}px`
  input.style.overflowY = input.scrollHeight > 180 ? 'auto' : 'hidden'
  $('send').disabled = input.value.trim() === ''
}

async function send(text, key) {
  try {
    transcript.append(await bridge.invoke('chat:send', { text, key }))
    notice.hide()
  } catch (err) {
    notice.show(`This message was not kept. ${err.message}`)
    if (input.value === '') {
      input.value = text
      fit()
    }
  }
}

$('composer').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = input.value.trim()
  if (text === '') return
  input.value = ''
  fit()
  input.focus()
  const key = crypto.randomUUID()
  sending = sending.then(() => send(text, key))
})

input.addEventListener('input', fit)
input.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  $('composer').requestSubmit()
})

// Typing anywhere goes to the composer.
document.addEventListener('keydown', (event) => {
  const plain = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey
  const elsewhere = document.activeElement === document.body || document.activeElement === $('scroll')
  if (plain && elsewhere && !$('naming').open) input.focus()
})

// The web view's menu makes sense where there is text to copy or edit.
document.addEventListener('contextmenu', (event) => {
  if (!event.target.closest('.bubble, .notice, textarea, input')) event.preventDefault()
})

// Name

function showName(name) {
  $('name').textContent = name
  $('avatar').textContent = [...name][0]?.toUpperCase() ?? ''
  $('profile').setAttribute('aria-label', `Your name is ${name}. Change it`)
}

$('profile').addEventListener('click', () => {
  $('naming-input').value = $('name').textContent
  $('naming').showModal()
  $('naming-input').select()
})
$('naming-cancel').addEventListener('click', () => $('naming').close())
$('naming-form').addEventListener('submit', async () => {
  try {
    showName((await bridge.invoke('chat:profile', { name: $('naming-input').value })).name)
  } catch (err) {
    notice.show(err.message)
  }
  input.focus()
})

// Start

$('version').textContent = `v${bridge.pkg().version}`
watchUpdates({
  bridge,
  version: $('version'),
  progress: $('progress'),
  button: $('update'),
  notice
})

try {
  showName((await bridge.invoke('chat:profile', {})).name)
  await load()
} catch (err) {
  notice.show(err.message)
}
fit()
input.focus()
