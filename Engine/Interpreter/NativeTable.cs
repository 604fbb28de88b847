using System.Runtime.InteropServices;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Elements in native memory, of which there may come to be hundreds of thousands. In an array the collector would move
/// them, and growing it would clear and copy it, milliseconds either way, while a vCPU waits; here growing remaps pages.
/// </summary>
internal sealed unsafe class NativeTable<T> : IDisposable
    where T : unmanaged
{
    private T* _elements;

    /// <param name="capacity">Elements there is room for at first; their contents are undefined.</param>
    public NativeTable(int capacity)
    {
        Capacity = capacity;
        _elements = (T*)NativeMemory.Alloc((nuint)capacity, (nuint)sizeof(T));
    }

    /// <summary>Elements there is room for.</summary>
    public int Capacity { get; private set; }

    /// <summary>An element, as it was set.</summary>
    public ref T this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Capacity, nameof(index));
            return ref _elements[index];
        }
    }

    /// <summary>Room for twice as many elements; those there are stay.</summary>
    public void Grow()
    {
        _elements = (T*)NativeMemory.Realloc(_elements, checked(2 * (nuint)Capacity * (nuint)sizeof(T)));
        Capacity *= 2;
    }

    public void Dispose()
    {
        NativeMemory.Free(_elements);
        _elements = null;
        Capacity = 0;
    }
}
