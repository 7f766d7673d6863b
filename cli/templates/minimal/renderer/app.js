/// <reference path="./bridge.d.ts" />
// The page: it asks the program below for a greeting, shows the version, and offers a newer one when it is there.

const { bridge } = window
const element = (id) => document.getElementById(id)

element('greet').addEventListener('submit', async (event) => {
  event.preventDefault()
  try {
    element('answer').textContent = await bridge.invoke('greet', { name: element('name').value })
  } catch (error) {
    element('answer').textContent = error.message
  }
})

element('version').textContent = `v${bridge.pkg().version}`

bridge.onPearEvent('updated', () => {
  element('update').hidden = false
})

element('update').addEventListener('click', async () => {
  element('update').disabled = true
  try {
    await bridge.applyUpdate()
    await bridge.appAfterUpdate()
  } catch (error) {
    element('answer').textContent = error.message
    element('update').disabled = false
  }
})
